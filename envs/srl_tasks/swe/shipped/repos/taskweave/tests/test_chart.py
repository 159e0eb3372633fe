import pytest

from taskweave.chart import gantt, tree, worker_letter, worker_list
from taskweave.errors import UnknownTask
from taskweave.graph import Graph
from taskweave.plan import Plan, read_plan
from taskweave.schedule import make_schedule

SCHEDULE = make_schedule(read_plan("dig 4h\npour 3h after dig\nb 1h"), 2)


def test_bars_go_from_start_to_end():
    assert gantt(SCHEDULE, width=7) == ("dig  |AAAA   |\nb    |B      |\npour |    AAA|")
    assert gantt(SCHEDULE, width=14).splitlines()[2] == "pour |        AAAAAA|"


def test_every_bar_has_a_mark():
    schedule = make_schedule(read_plan("long 100h\nnone 0h after long"), 1)
    assert gantt(schedule, width=5) == "long |AAAAA|\nnone |    A|"


def test_an_empty_schedule():
    assert gantt(make_schedule(Plan(), 1)) == "nothing to do"


def test_workers_are_listed():
    assert worker_list(SCHEDULE) == "A: dig (4h), pour (3h), 100% busy\nB: b (1h), 14% busy"
    assert worker_list(make_schedule(Plan(), 1)) == "A: nothing, 0% busy"


def test_workers_have_letters():
    assert [worker_letter(n) for n in (0, 1, 25, 26, 27, 51, 52, 701, 702)] == [
        "A",
        "B",
        "Z",
        "AA",
        "AB",
        "AZ",
        "BA",
        "ZZ",
        "AAA",
    ]


def test_a_tree_shows_what_is_needed():
    graph = Graph.of([("walls", "pour"), ("walls", "bricks"), ("pour", "dig")])
    assert tree(graph, "walls") == "walls\n  bricks\n  pour\n    dig"
    assert tree(graph, "dig") == "dig"
    with pytest.raises(UnknownTask):
        tree(graph, "pool")


def test_what_was_shown_is_not_repeated():
    graph = Graph.of([("d", "b"), ("d", "c"), ("b", "a"), ("c", "b"), ("c", "a")])
    assert tree(graph, "d") == "d\n  b\n    a\n  c\n    a\n    b (above)"
