"""AdaPrefix: the controller by hand."""

from __future__ import annotations

import numpy as np
import pytest

from srl_agents.methods.adaprefix import Controlled
from srl_agents.methods.prefix import ProblemStats
from srl_env.errors import BadOption

NEW = ProblemStats()
GENERATOR = np.random.default_rng(0)


def test_the_fraction_rises_after_failures_and_falls_after_success() -> None:
    schedule = Controlled(target=0.5, gain=0.2, initial=0.5)
    assert schedule.fraction(0.0, NEW, GENERATOR) == 0.5
    failed = schedule.moved(NEW, 0.5, success=0.0)  # 0.5 + 0.2 · (0.5 − 0)
    assert failed.hi == pytest.approx(0.6)
    solved = schedule.moved(failed, 0.6, success=0.75)  # 0.6 + 0.2 · (0.5 − 0.75)
    assert solved.hi == pytest.approx(0.55)
    assert schedule.moved(solved, 0.55, success=0.5).hi == solved.hi
    assert schedule.fraction(0.0, solved, GENERATOR) == solved.hi


def test_the_fraction_stays_between_nothing_and_all() -> None:
    schedule = Controlled(gain=1.0)
    nothing = schedule.moved(NEW, 0.5, success=1.0)
    assert (nothing.lo, nothing.hi) == (0.0, 0.0)
    assert schedule.moved(nothing, 0.0, success=1.0).hi == 0.0
    most = ProblemStats(lo=0.9, hi=0.9)
    assert schedule.moved(most, 0.9, success=0.0).hi == 1.0


def test_the_help_is_withdrawn_between_two_times() -> None:
    schedule, stats = Controlled(withdraw_from=0.4, withdraw_to=0.8), ProblemStats(lo=0.6, hi=0.6)
    found = [schedule.fraction(at, stats, GENERATOR) for at in (0.0, 0.4, 0.5, 0.6, 0.8, 1.0)]
    assert found == pytest.approx([0.6, 0.6, 0.45, 0.3, 0.0, 0.0])
    at_once = Controlled(withdraw_from=0.5, withdraw_to=0.5)
    assert [at_once.fraction(at, stats, GENERATOR) for at in (0.49, 0.5)] == [0.6, 0.0]
    with pytest.raises(BadOption, match="withdraw_from must be at most withdraw_to; got 0.9 and"):
        Controlled(withdraw_from=0.9)


def test_it_settles_where_half_succeed() -> None:
    schedule, stats = Controlled(), NEW
    for _ in range(100):  # a policy that succeeds in proportion to what it is given
        given = schedule.fraction(0.0, stats, GENERATOR)
        stats = schedule.moved(stats, given, success=0.2 + 0.6 * given)
    assert stats.hi == pytest.approx(0.5, abs=1e-3)  # 0.2 + 0.6 · 0.5 = 0.5
