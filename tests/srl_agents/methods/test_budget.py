"""Rules that end a stage, with numbers worked by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from srl_agents.methods.budget import (
    Usage,
    learning_rate,
    stage_budget,
    stage_end_reason,
    why_informative,
)
from srl_agents.methods.rlvr import RLVR
from srl_agents.methods.stages import Until
from srl_agents.runs.config import BudgetConfig

FIRST = replace(RLVR, name="first", fraction=0.6)


def test_a_stage_gets_its_fraction_and_the_last_all_that_is_left() -> None:
    budget = BudgetConfig(updates=100).whole
    first = stage_budget(budget, (FIRST, RLVR), 0, Usage())
    assert (first.begin, first.end) == (0, 60)
    early = Usage(updates=40, seconds=9.0)
    last = stage_budget(budget, (FIRST, RLVR), 1, early)
    assert (last.begin, last.end) == (40, 100)


@pytest.mark.parametrize(
    ("fractions", "begins", "ends"),
    [
        ((None, None), (0, 50), (50, 100)),
        ((None, None, None), (0, 33, 67), (33, 67, 100)),  # 33.3, then 67 / 2 = 33.5
        ((0.25, None, None), (0, 25, 63), (25, 63, 100)),  # 75 / 2 = 37.5, rounded to 38
        ((None, 0.2, None), (0, 40, 60), (40, 60, 100)),  # 80 / 2
        ((None, None, 0.5), (0, 25, 50), (25, 50, 100)),  # 50 / 2
        ((None, 0.7), (0, 30), (30, 100)),
        ((0.3, 0.2), (0, 30), (30, 100)),  # the last takes all that is left
        ((None, None, None), (0, 10, 55), (33, 55, 100)),  # the first ended early: 90 / 2
        ((0.7, None, None), (0, 20, 60), (70, 60, 100)),  # so did this one: 80 / 2
        ((0.9, 0.9, None), (0, 90, 100), (90, 100, 100)),  # caps; the rules of each end it sooner
    ],
)
def test_what_the_named_fractions_leave_is_divided_evenly_among_the_stages_that_name_none(
    fractions: tuple[float | None, ...], begins: tuple[int, ...], ends: tuple[int, ...]
) -> None:
    stages = [replace(RLVR, name=f"{i}", fraction=fraction) for i, fraction in enumerate(fractions)]
    budget = BudgetConfig(updates=100).whole
    found = [stage_budget(budget, stages, i, Usage(updates=b)) for i, b in enumerate(begins)]
    assert [(part.begin, part.end) for part in found] == list(zip(begins, ends, strict=True))


def test_seconds_are_divided_without_rounding() -> None:
    stages = (replace(RLVR, name="one"), replace(RLVR, name="two"))
    assert stage_budget(BudgetConfig(seconds=5).whole, stages, 0, Usage()).end == 2.5


def test_progress_is_measured_in_the_budgets_own_unit() -> None:
    budget = stage_budget(BudgetConfig(tokens=1000).whole, (FIRST, RLVR), 0, Usage(tokens=100))
    assert budget.progress(Usage(updates=5, seconds=3.0, tokens=400)) == pytest.approx(0.5)
    assert budget.progress(Usage(tokens=400), ahead=60) == pytest.approx(0.6)
    assert budget.left(Usage(tokens=650)) == 50


def test_updates_are_used_to_the_last() -> None:
    budget = BudgetConfig(updates=3).whole
    assert stage_end_reason(Until(), budget, Usage(updates=2), 1.0, 2, []) is None
    reason = stage_end_reason(Until(), budget, Usage(updates=3), 1.0, 3, [])
    assert reason == "its budget is used up: 3 updates"


def test_a_time_limit_is_kept_by_stopping_before_the_update_that_would_break_it() -> None:
    budget = BudgetConfig(seconds=10).whole
    assert stage_end_reason(Until(), budget, Usage(seconds=8.0), 1.5, 5, []) is None
    assert stage_end_reason(Until(), budget, Usage(seconds=9.0), 1.5, 6, []) is not None


def test_a_number_of_updates_ends_a_stage_early() -> None:
    budget = BudgetConfig(updates=100).whole
    assert stage_end_reason(Until(updates=5), budget, Usage(updates=5), 1, 4, []) is None
    assert (
        stage_end_reason(Until(updates=5), budget, Usage(updates=6), 1, 5, [])
        == "5 updates were made"
    )


def test_a_plateau_is_a_window_no_better_than_the_best_before_it() -> None:
    budget, until = BudgetConfig(updates=100).whole, Until(plateau=2, min_gain=0.1)
    rising, flat = [0.0, 0.2, 0.4, 0.6], [0.0, 0.2, 0.5, 0.1, 0.5, 0.3]
    assert stage_end_reason(until, budget, Usage(), 1, 4, rising) is None
    # Windows before the last: 0.1, 0.35, 0.3; the last: 0.4 < 0.35 + 0.1.
    reason = stage_end_reason(until, budget, Usage(), 1, 6, flat)
    assert reason is not None
    assert "0.4000 over the last 2 updates, 0.3500 at its best before" in reason


def test_a_plateau_needs_two_windows() -> None:
    budget, until = BudgetConfig(updates=100).whole, Until(plateau=3)
    assert stage_end_reason(until, budget, Usage(), 1, 5, [0.5] * 5) is None
    assert stage_end_reason(until, budget, Usage(), 1, 6, [0.5] * 6) is not None


def test_a_reward_that_is_reached_over_twenty_updates_ends_the_stage() -> None:
    budget, until = BudgetConfig(updates=100).whole, Until(reward=0.5)
    assert stage_end_reason(until, budget, Usage(), 1, 19, [1.0] * 19) is None
    assert stage_end_reason(until, budget, Usage(), 1, 21, [1.0] + [0.49] * 20) is None
    reason = stage_end_reason(until, budget, Usage(), 1, 20, [0.0] * 10 + [1.0] * 10)
    assert reason == "the reward is 0.5000 over the last 20 updates, at least 0.5"


def test_enough_informative_groups_end_a_stage() -> None:
    assert why_informative(Until(informative=0.5), 0.4) is None
    reason = why_informative(Until(informative=0.5), 0.5625)
    assert reason == "0.56 of the probed groups are informative, at least 0.5"
    assert why_informative(Until(), 1.0) is None


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        ("constant", [0.0, 0.5, 1.0, 1.0, 1.0]),
        ("linear", [0.0, 0.5, 1.0, 0.5, 0.0]),
        ("cosine", [0.0, 0.5, 1.0, 0.5, 0.0]),
    ],
)
def test_learning_rates_rise_then_follow_their_schedule(schedule: str, rates: list[float]) -> None:
    stage = replace(RLVR, lr=1.0, warmup=0.2, schedule=schedule)  # type: ignore[arg-type]
    found = [learning_rate(stage, progress) for progress in (0.0, 0.1, 0.2, 0.6, 1.0)]
    assert found == pytest.approx(rates)


def test_without_warm_up_the_rate_is_full_from_the_start() -> None:
    assert learning_rate(replace(RLVR, lr=2.0), 0.0) == 2.0
