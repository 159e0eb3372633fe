"""Tailor: which demonstrations are chosen, by hand."""

from __future__ import annotations

import pytest

from srl_agents.methods.shipped import get_method
from srl_agents.methods.stages import Starts
from srl_agents.methods.starts import StartSampler
from srl_agents.methods.subset import Diverse, farthest_first, primitives
from srl_env.data import ListSource
from srl_env.errors import BadOption
from srl_env.problem import ExpertStep, ExpertTrajectory, Problem


def solved(number: int, *actions: str) -> Problem:
    experts = (ExpertTrajectory(tuple(map(ExpertStep, actions))),) if actions else ()
    return Problem(f"{number}", "?", "1", experts)


SUMS, PRODUCT = ("a:2+3", "b:12+a", "x:1+1"), "c:7*d*e*f"
SOURCE = ListSource([solved(i, text) for i, text in enumerate((*SUMS, PRODUCT))])


def test_numbers_and_names_are_no_primitives() -> None:
    assert primitives(solved(0, "m:g16-f5", "She pays 3.")) == " a:a0-a0\n She pays 0."
    thought = Problem("p", "?", "1", (ExpertTrajectory((ExpertStep("m1;", thought="m:g2-f1"),)),))
    assert primitives(thought) == "a:a0-a0 a0;"


def test_the_farthest_is_chosen_next() -> None:
    # Similarities 2M/T: aaaa and aaab 2·3/8 = 0.75; aaaa and bbbb 0; aaab and bbbb 2·1/8 = 0.25.
    assert farthest_first(["aaaa", "aaab", "bbbb"], 2) == ["aaaa", "bbbb"]
    assert farthest_first(["aaaa", "aaab", "bbbb"], 3) == ["aaaa", "bbbb", "aaab"]
    assert farthest_first(["aaaa", "aaab", "bbbb"], 1) == ["aaaa"]
    assert farthest_first([], 2) == []


def test_problems_that_are_alike_are_chosen_in_turn() -> None:
    # a:0+0 twice (0 and 2), a:0+a, and the product: farthest from the first is the product.
    assert Diverse(count=2).choose(SOURCE, range(4)) == [0, 3]
    assert Diverse(count=3).choose(SOURCE, range(4)) == [0, 3, 1]
    assert Diverse(count=9).choose(SOURCE, range(4)) == [0, 3, 1, 2]
    assert Diverse(count=9).choose(SOURCE, [2, 1]) == [2, 1]
    assert Diverse(count=2, candidates=2).choose(SOURCE, range(4)) == [0, 1]


def test_more_cannot_be_chosen_than_are_compared() -> None:
    with pytest.raises(BadOption, match=r"count must be at most candidates \(2\).*; got 9"):
        Diverse(count=9, candidates=2)


def test_problems_without_a_demonstration_are_no_candidates() -> None:
    source = ListSource([solved(0), solved(1, "a:1+1"), solved(2)])
    assert Diverse().choose(source, range(3)) == [1]


def test_only_the_chosen_problems_are_drawn_in_the_first_stage() -> None:
    first, second = get_method("tailor").stages
    assert (first.starts.subset, second.starts.subset) == (Diverse(), None)
    starts = StartSampler(SOURCE, Starts(at="prefix", subset=Diverse(count=2)), ("key",))
    assert {point.problem for point in starts.draw(10)} == {0, 3}
    part = StartSampler(SOURCE, Starts(at="prefix", subset=Diverse(count=2)), ("key",), only=[1, 2])
    assert {point.problem for point in part.draw(10)} == {1, 2}
