"""BREAD: the search for a prefix by hand, and within an update."""

from __future__ import annotations

import numpy as np
import pytest

from srl_agents.methods.bread import Rescue
from srl_agents.methods.prefix import ProblemStats
from srl_agents.methods.stages import Starts
from srl_agents.methods.starts import StartPoint, StartResult, StartSampler
from srl_env.data import ListSource
from srl_env.errors import BadOption
from srl_env.problem import Problem
from srl_env.testing import counting_problem

EIGHT = ListSource((counting_problem(7),))  # 8 steps


def found(needed: int, cuts: int = 10, source: ListSource = EIGHT) -> list[int]:
    """The steps that are given one after another if half succeed after ``needed`` or more."""
    starts = StartSampler(source, Starts(prefix=Rescue(cuts=cuts)), ("key",))
    (point,), given = starts.draw(1), list[int]()
    following: StartPoint | None = point
    while following is not None:
        given.append(following.start_step)
        if following.start_step > needed:
            correct = (True,) * 4
        else:
            correct = (True, False) * 2 if following.start_step == needed else (False,) * 4
        rewards = tuple(map(float, correct))
        following = starts.record(following, StartResult(rewards, correct, informative=True))
    return given


@pytest.mark.parametrize(
    ("needed", "given"),
    [
        (0, [0]),  # some succeed alone
        (4, [0, 4]),
        (6, [0, 4, 6]),
        (7, [0, 4, 6, 7]),
        (2, [0, 4, 2]),
        (1, [0, 4, 2, 1]),
        (8, [0, 4, 6, 7]),  # even all but the last step is not enough
    ],
)
def test_cuts_are_halved_until_some_succeed(needed: int, given: list[int]) -> None:
    assert found(needed) == given


def test_few_cuts_are_searched_in_few_tries() -> None:
    assert found(8, cuts=2) == [0, 4]
    assert found(8, cuts=1) == [0]
    assert found(9, source=ListSource((Problem("p", "?", "!"),))) == [0]  # no expert


def test_the_band_decides_what_is_enough() -> None:
    schedule, tried = Rescue(low=0.25, high=0.5), ProblemStats(lo=0.0, hi=1.0)
    assert schedule.moved(tried, 0.5, success=0.125) == ProblemStats(lo=0.5, hi=1.0)
    assert schedule.moved(tried, 0.5, success=0.25) == ProblemStats(lo=0.5, hi=0.5)
    assert schedule.moved(tried, 0.5, success=0.75) == ProblemStats(lo=0.0, hi=0.5)
    assert schedule.again(ProblemStats(lo=0.5, hi=0.5), steps=8) is None
    with pytest.raises(BadOption, match="low must be at most high"):
        Rescue(low=0.9)


def test_the_next_visit_begins_at_the_problem() -> None:
    stats = ProblemStats(lo=0.5, hi=0.5)
    assert Rescue().fraction(0.5, stats, np.random.default_rng(0)) == 0.0
    assert Rescue().moved(stats, 0.0, success=0.0) == ProblemStats(lo=0.0, hi=1.0)
