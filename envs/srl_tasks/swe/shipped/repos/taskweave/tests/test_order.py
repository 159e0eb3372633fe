import pytest

from taskweave.errors import CycleFound
from taskweave.graph import Graph
from taskweave.order import find_cycle, is_valid_order, levels, longest_chain, sort_tasks

DIAMOND = Graph.of([("d", "b"), ("d", "c"), ("b", "a"), ("c", "a")], alone=["e"])
LOOP = Graph.of([("x", "c"), ("c", "b"), ("b", "a"), ("a", "c")])


def test_names_come_after_what_they_need():
    assert sort_tasks(DIAMOND) == ["a", "b", "c", "d", "e"]
    assert sort_tasks(Graph.of([("a", "b"), ("b", "c")])) == ["c", "b", "a"]
    assert sort_tasks(Graph()) == []


def test_a_key_decides_where_there_is_a_choice():
    keys = {"a": 1, "b": 9, "c": 2, "d": 0, "e": 0}
    assert sort_tasks(DIAMOND, key=keys.get) == ["e", "a", "c", "b", "d"]


def test_equal_keys_are_decided_by_name():
    assert sort_tasks(DIAMOND, key=lambda name: 0) == ["a", "b", "c", "d", "e"]


def test_a_cycle_has_no_order():
    with pytest.raises(CycleFound, match="a -> c -> b -> a") as caught:
        sort_tasks(LOOP)
    assert caught.value.cycle == ["a", "c", "b", "a"]


def test_levels_need_the_level_before():
    assert levels(DIAMOND) == [["a", "e"], ["b", "c"], ["d"]]
    assert levels(Graph.of([("c", "b"), ("b", "a"), ("c", "a")])) == [["a"], ["b"], ["c"]]
    assert levels(Graph()) == []


def test_cycles_are_found():
    assert find_cycle(DIAMOND) is None
    assert find_cycle(LOOP) == ["a", "c", "b", "a"]
    assert find_cycle(Graph.of([("b", "a"), ("a", "b")])) == ["a", "b", "a"]


@pytest.mark.parametrize("names", [["a", "b", "c", "d", "e"], ["e", "a", "c", "b", "d"]])
def test_valid_orders(names):
    assert is_valid_order(DIAMOND, names)


@pytest.mark.parametrize(
    "names", [["b", "a", "c", "d", "e"], ["a", "b", "c", "d"], ["a", "a", "b", "c", "d", "e"], []]
)
def test_other_orders_are_not_valid(names):
    assert not is_valid_order(DIAMOND, names)


def test_the_longest_chain():
    assert longest_chain(DIAMOND) == ["a", "b", "d"]
    assert longest_chain(Graph.of([("c", "b"), ("d", "a"), ("e", "d")])) == ["a", "d", "e"]
    assert longest_chain(Graph.of([], ["b", "a"])) == ["a"]
    assert longest_chain(Graph()) == []
