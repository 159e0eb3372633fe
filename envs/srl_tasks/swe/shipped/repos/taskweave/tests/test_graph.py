import pytest

from taskweave.errors import CycleFound, UnknownTask
from taskweave.graph import Graph


def make_graph():
    edges = [("roof", "walls"), ("walls", "base"), ("door", "walls"), ("paint", "door")]
    return Graph.of(edges, alone=["lawn"])


def test_names_and_edges_are_sorted():
    graph = make_graph()
    assert graph.names() == ["base", "door", "lawn", "paint", "roof", "walls"]
    assert graph.edges() == [
        ("door", "walls"),
        ("paint", "door"),
        ("roof", "walls"),
        ("walls", "base"),
    ]


def test_adding_a_name_again_changes_nothing():
    graph = make_graph()
    graph.add("roof")
    assert graph.needs("roof") == ["walls"]


def test_direct_needs():
    graph = make_graph()
    assert graph.needs("walls") == ["base"]
    assert graph.needed_by("walls") == ["door", "roof"]
    assert graph.needed_by("lawn") == []


def test_unknown_names():
    graph = make_graph()
    with pytest.raises(UnknownTask, match="no task 'pool'"):
        graph.needs("pool")
    with pytest.raises(UnknownTask):
        graph.needed_by("pool")
    with pytest.raises(UnknownTask):
        graph.connect("roof", "pool")
    with pytest.raises(UnknownTask):
        graph.connect("pool", "roof")
    assert "pool" not in graph.names()


def test_nothing_needs_itself():
    graph = make_graph()
    with pytest.raises(CycleFound, match="roof -> roof"):
        graph.connect("roof", "roof")


def test_needs_are_taken_back_once():
    graph = make_graph()
    assert graph.disconnect("roof", "walls") is True
    assert graph.needs("roof") == []
    assert graph.disconnect("roof", "walls") is False


def test_a_removed_name_hands_its_needs_on():
    graph = make_graph()
    graph.remove("walls")
    assert graph.needs("roof") == ["base"]
    assert graph.needs("door") == ["base"]
    assert "walls" not in graph.names()


def test_needs_are_followed_all_the_way():
    graph = make_graph()
    assert graph.all_needs("paint") == {"door", "walls", "base"}
    assert graph.all_needs("base") == set()
    assert graph.all_needed_by("walls") == {"door", "roof", "paint"}
    assert graph.all_needed_by("paint") == set()


def test_in_a_cycle_one_needs_itself():
    graph = Graph.of([("a", "b"), ("b", "a")])
    assert graph.all_needs("a") == {"a", "b"}


def test_roots_need_nothing_and_leaves_are_not_needed():
    graph = make_graph()
    assert graph.roots() == ["base", "lawn"]
    assert graph.leaves() == ["lawn", "paint", "roof"]


def test_needs_that_follow_from_others_are_left_out():
    graph = Graph.of([("c", "b"), ("b", "a"), ("c", "a"), ("d", "a"), ("d", "c")])
    assert graph.reduced().edges() == [("b", "a"), ("c", "b"), ("d", "c")]
    assert len(graph.edges()) == 5


def test_two_ways_of_equal_length_are_both_kept():
    edges = [("b", "a"), ("c", "a"), ("d", "b"), ("d", "c")]
    assert Graph.of(edges, ["e"]).reduced().edges() == edges
    assert Graph.of(edges, ["e"]).reduced().names() == ["a", "b", "c", "d", "e"]


def test_components_have_nothing_to_do_with_one_another():
    graph = make_graph()
    assert graph.components() == [["base", "door", "paint", "roof", "walls"], ["lawn"]]
    assert Graph.of([("b", "a"), ("d", "c")], ["e"]).components() == [["a", "b"], ["c", "d"], ["e"]]


def test_a_subset_keeps_the_needs_inside():
    graph = make_graph()
    part = graph.subset(["roof", "walls", "paint"])
    assert part.names() == ["paint", "roof", "walls"]
    assert part.edges() == [("roof", "walls")]
    with pytest.raises(UnknownTask):
        graph.subset(["pool"])
