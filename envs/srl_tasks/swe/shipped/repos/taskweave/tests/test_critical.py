import pytest

from taskweave.critical import (
    Window,
    critical_path,
    delay_effect,
    most_parallel,
    total_hours,
    windows,
)
from taskweave.errors import PlanError, UnknownTask
from taskweave.plan import Plan, read_plan

HOUSE = read_plan(
    "dig 24h\npour 16h after dig\nbricks 8h\nwalls 40h after pour, bricks\nlawn 4h after dig"
)


def test_windows_go_from_the_earliest_to_the_latest_start():
    assert windows(HOUSE) == {
        "dig": Window(0, 0),
        "pour": Window(24, 24),
        "bricks": Window(0, 32),
        "walls": Window(40, 40),
        "lawn": Window(24, 76),
    }


def test_slack_is_the_width_of_a_window():
    assert windows(HOUSE)["lawn"].slack == 52
    assert windows(HOUSE)["dig"].slack == 0


def test_a_later_deadline_gives_slack_to_all():
    found = windows(HOUSE, deadline=90)
    assert found["dig"] == Window(0, 10)
    assert found["bricks"] == Window(0, 42)


def test_a_deadline_must_be_possible():
    assert windows(HOUSE, deadline=80)["dig"].slack == 0
    with pytest.raises(PlanError, match="79 hours are not enough; 80 are needed"):
        windows(HOUSE, deadline=79)


def test_the_whole_time():
    assert total_hours(HOUSE) == 80
    assert total_hours(Plan()) == 0


def test_the_critical_path():
    assert critical_path(HOUSE) == ["dig", "pour", "walls"]
    assert critical_path(Plan()) == []


def test_of_equal_paths_the_first_by_name_is_taken():
    plan = read_plan("b 2h\na 2h\nd 1h after b\nc 1h after a")
    assert critical_path(plan) == ["a", "c"]


def test_only_tasks_without_slack_are_on_the_path():
    plan = read_plan("a 1h\nb 3h\nc 2h after a, b\nd 1h after a")
    assert critical_path(plan) == ["b", "c"]


def test_a_delay_within_the_slack_has_no_effect():
    assert delay_effect(HOUSE, "lawn", 52) == 0
    assert delay_effect(HOUSE, "lawn", 53) == 1
    assert delay_effect(HOUSE, "pour", 5) == 5
    with pytest.raises(UnknownTask):
        delay_effect(HOUSE, "pool", 5)


def test_tasks_at_the_same_time():
    assert most_parallel(HOUSE) == 2
    assert most_parallel(read_plan("a 2h\nb 1h after a")) == 1
    assert most_parallel(read_plan("a 3h\nb 1h\nc 1h after b\nd 1h after b")) == 3
    assert most_parallel(Plan()) == 0
