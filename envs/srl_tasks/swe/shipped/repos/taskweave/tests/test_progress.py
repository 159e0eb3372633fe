import pytest

from taskweave.errors import PlanError, UnknownTask
from taskweave.plan import Plan, read_plan
from taskweave.progress import Progress


def make_progress():
    return Progress(
        read_plan(
            "dig 24h\npour 16h after dig\nbricks 8h\nwalls 40h after pour, bricks\n"
            "paint 12h after walls"
        )
    )


def test_at_first_only_the_roots_are_ready():
    progress = make_progress()
    assert progress.ready() == ["bricks", "dig"]
    assert progress.percent() == 0
    assert progress.remaining_hours() == 92


def test_a_finished_task_makes_others_ready():
    progress = make_progress()
    assert progress.finish("dig") == ["pour"]
    assert progress.finish("bricks") == []
    assert progress.finish("pour") == ["walls"]
    assert progress.ready() == ["walls"]


def test_only_ready_tasks_are_finished_and_only_once():
    progress = make_progress()
    with pytest.raises(PlanError, match="pour is not ready"):
        progress.finish("pour")
    progress.finish("dig")
    with pytest.raises(PlanError, match="dig is done already"):
        progress.finish("dig")
    with pytest.raises(UnknownTask):
        progress.finish("pool")


def test_blocked_tasks_know_what_they_wait_for():
    progress = make_progress()
    progress.finish("dig")
    assert progress.blocked() == {"walls": ["bricks", "pour"], "paint": ["walls"]}


def test_hours_are_spent():
    progress = make_progress()
    assert progress.spend("dig", 10) == 14
    assert progress.spend("dig", 4) == 10
    assert progress.spend("dig", 100) == 0
    assert progress.left("bricks") == 8


def test_hours_are_spent_on_ready_tasks_only():
    progress = make_progress()
    with pytest.raises(PlanError, match="not ready"):
        progress.spend("walls", 1)
    with pytest.raises(PlanError, match="0 hours"):
        progress.spend("dig", 0)
    progress.finish("dig")
    with pytest.raises(PlanError, match="done already"):
        progress.spend("dig", 1)
    assert progress.left("dig") == 0


def test_a_reopened_task_takes_those_that_need_it_along():
    progress = make_progress()
    for name in ("dig", "bricks", "pour", "walls"):
        progress.finish(name)
    assert progress.reopen("pour") == ["pour", "walls"]
    assert progress.ready() == ["pour"]
    assert progress.left("walls") == 40
    with pytest.raises(PlanError, match="paint is not done"):
        progress.reopen("paint")


def test_hours_spent_are_forgotten_when_a_task_is_finished():
    progress = make_progress()
    progress.spend("dig", 10)
    progress.finish("dig")
    progress.reopen("dig")
    assert progress.left("dig") == 24


def test_the_part_that_is_done():
    progress = make_progress()
    progress.spend("dig", 10)
    assert progress.percent() == 10
    progress.finish("dig")
    assert progress.percent() == 24
    for name in ("bricks", "pour", "walls"):
        progress.finish(name)
    progress.spend("paint", 12)
    assert progress.percent() == 99
    progress.finish("paint")
    assert progress.percent() == 100


def test_plans_without_hours():
    assert Progress(Plan()).percent() == 100
    assert Progress(read_plan("a 0h")).percent() == 0


def test_remaining_hours_go_along_the_longest_way():
    progress = make_progress()
    progress.finish("dig")
    assert progress.remaining_hours() == 68
    progress.finish("pour")
    assert progress.remaining_hours() == 60
    progress.spend("bricks", 3)
    assert progress.remaining_hours() == 57
    assert Progress(Plan()).remaining_hours() == 0
