import pytest

from taskweave.errors import CycleFound, PlanError, PlanSyntax, UnknownTask
from taskweave.plan import Plan, Task, read_plan

HOUSE = """
# a small house
dig 3d
pour 2d after dig     # needs a dry day
walls 5d !2 after pour, bricks
bricks 1d !-1
"""


def test_tasks_are_added_after_what_they_need():
    plan = Plan()
    plan.add(Task("a", 3))
    plan.add(Task("b", 0, ("a",)))
    assert len(plan) == 2
    assert plan.hours("a") == 3
    assert plan.graph.needs("b") == ["a"]
    with pytest.raises(UnknownTask, match="'x'"):
        plan.add(Task("c", 1, ("x",)))
    assert len(plan) == 2


def test_a_name_is_used_once():
    plan = Plan()
    plan.add(Task("a", 3))
    with pytest.raises(PlanError, match="already"):
        plan.add(Task("a", 4))


def test_hours_are_not_negative():
    with pytest.raises(PlanError, match="-1 hours"):
        Plan().add(Task("a", -1))


def test_unknown_tasks():
    with pytest.raises(UnknownTask):
        Plan().task("a")
    with pytest.raises(UnknownTask):
        Plan().hours("a")


def test_higher_priorities_come_first_where_there_is_a_choice():
    plan = Plan()
    for task in (Task("a", 1), Task("b", 1, priority=5), Task("c", 1, ("b",), 9), Task("d", 1)):
        plan.add(task)
    assert [task.name for task in plan.in_order()] == ["b", "c", "a", "d"]
    assert [task.name for task in plan] == ["a", "b", "c", "d"]


def test_a_plan_is_read():
    plan = read_plan(HOUSE)
    assert plan.task("dig") == Task("dig", 24)
    assert plan.task("walls") == Task("walls", 40, ("pour", "bricks"), 2)
    assert plan.task("bricks") == Task("bricks", 8, (), -1)
    assert plan.task("pour") == Task("pour", 16, ("dig",))
    assert len(plan) == 4


def test_an_empty_text_is_an_empty_plan():
    assert len(read_plan("\n  # nothing\n")) == 0


def test_a_need_named_twice_counts_once():
    assert read_plan("a 1h\nb 1h after a, a").task("b").needs == ("a",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a 1h\n\nb soon", "line 3: not a duration: 'soon'"),
        ("a", "line 1: an empty duration"),
        ("a 1h\na 2h", "line 2: 'a' again"),
        ("a 1h !high", "line 1: not a priority: 'high'"),
        ("a 1h !", "line 1: not a priority: ''"),
        ("a 1h\nb 1h after a,", "line 2: a name is missing"),
    ],
)
def test_faults_are_reported_with_their_line(text, message):
    with pytest.raises(PlanSyntax, match=message):
        read_plan(text)


def test_needs_must_be_there_and_without_cycle():
    with pytest.raises(UnknownTask, match="'x'"):
        read_plan("a 1h after x")
    with pytest.raises(CycleFound, match="a -> b -> a"):
        read_plan("a 1h after b\nb 1h after a")


def test_a_plan_is_written_as_it_is_read():
    text = read_plan(HOUSE).text()
    assert text == "dig 3d\npour 2d after dig\nbricks 1d !-1\nwalls 1w !2 after pour, bricks"
    assert read_plan(text).text() == text
