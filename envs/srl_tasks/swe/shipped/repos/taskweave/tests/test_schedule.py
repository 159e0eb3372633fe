import pytest

from taskweave.errors import PlanError
from taskweave.plan import Plan, read_plan
from taskweave.schedule import Assignment, make_schedule, workers_needed

HOUSE = read_plan("dig 24h\npour 16h after dig\nbricks 8h\nwalls 40h after pour, bricks\nlawn 4h")


def shown(schedule):
    return [(done.task, done.worker, done.start, done.end) for done in schedule.assignments]


def test_one_worker_does_one_after_another():
    assert shown(make_schedule(HOUSE, 1)) == [
        ("dig", 0, 0, 24),
        ("pour", 0, 24, 40),
        ("bricks", 0, 40, 48),
        ("walls", 0, 48, 88),
        ("lawn", 0, 88, 92),
    ]


def test_two_workers_share_the_tasks():
    assert shown(make_schedule(HOUSE, 2)) == [
        ("dig", 0, 0, 24),
        ("bricks", 1, 0, 8),
        ("lawn", 1, 8, 12),
        ("pour", 0, 24, 40),
        ("walls", 0, 40, 80),
    ]


def test_higher_priority_goes_first():
    plan = read_plan("a 5h\nb 2h !1\nc 3h !2")
    assert [name for name, *_ in shown(make_schedule(plan, 1))] == ["c", "b", "a"]


def test_less_slack_goes_first_among_equals():
    plan = read_plan("a 1h\nb 1h\nc 9h after b")
    assert [name for name, *_ in shown(make_schedule(plan, 1))] == ["b", "c", "a"]


def test_a_task_waits_until_it_is_ready():
    plan = read_plan("a 2h\nb 2h")
    assert shown(make_schedule(plan, 1, ready={"a": 5})) == [("b", 0, 0, 2), ("a", 0, 5, 7)]


def test_a_plan_needs_a_worker():
    with pytest.raises(PlanError, match="0 workers"):
        make_schedule(HOUSE, 0)


def test_an_empty_plan_takes_no_time():
    empty = make_schedule(Plan(), 2)
    assert empty.assignments == ()
    assert empty.end == 0
    assert empty.busy_percent(1) == 0


def test_what_a_worker_does():
    schedule = make_schedule(HOUSE, 2)
    assert schedule.of_worker(1) == [Assignment("bricks", 1, 0, 8), Assignment("lawn", 1, 8, 12)]
    with pytest.raises(PlanError, match="no worker 2"):
        schedule.of_worker(2)
    with pytest.raises(PlanError):
        schedule.of_worker(-1)


def test_how_busy_workers_are():
    schedule = make_schedule(HOUSE, 2)
    assert schedule.end == 80
    assert schedule.busy_percent(0) == 100
    assert schedule.busy_percent(1) == 15


def test_gaps_without_work():
    schedule = make_schedule(read_plan("a 2h\nb 5h\nc 1h after b"), 2, ready={"a": 1})
    assert shown(schedule) == [("b", 0, 0, 5), ("a", 1, 1, 3), ("c", 0, 5, 6)]
    assert schedule.idle_gaps(0) == []
    assert schedule.idle_gaps(1) == [(0, 1), (3, 6)]


def test_tasks_at_a_moment():
    schedule = make_schedule(HOUSE, 2)
    assert schedule.at(0) == ["bricks", "dig"]
    assert schedule.at(8) == ["dig", "lawn"]
    assert schedule.at(12) == ["dig"]
    assert schedule.at(80) == []


def test_the_fewest_workers_for_a_deadline():
    assert workers_needed(HOUSE, 92) == 1
    assert workers_needed(HOUSE, 91) == 2
    assert workers_needed(HOUSE, 80) == 2
    assert workers_needed(HOUSE, 79) is None
    assert workers_needed(Plan(), 0) == 1
