"""Step measures compared: ranks, AUC and disagreements, worked by hand."""

from __future__ import annotations

import math

import pytest

from srl_agents.evaluation.measures import Comparison, MeasuredStep, auc, ranks


def step(episode: int, text: str, a: float, b: float) -> MeasuredStep:
    return MeasuredStep("p", episode, 0, text, "expert", {"a": a, "b": b})


def test_equal_values_share_the_mean_of_their_ranks() -> None:
    assert ranks([0.5, 0.1, 0.5, 0.9]).tolist() == [2.5, 1.0, 2.5, 4.0]


def test_auc_is_the_chance_of_the_right_order_with_ties_counted_half() -> None:
    # (0.9 > 0.4), (0.9 > 0.9: tie), (0.2 < 0.4), (0.2 < 0.9): 1.5 of 4.
    assert auc([0.9, 0.2, 0.4, 0.9], [True, True, False, False]) == 1.5 / 4
    assert math.isnan(auc([0.1, 0.2], [True, True]))


def test_rollouts_of_one_problem_are_compared_with_each_other() -> None:
    # Of problem p the correct one is higher; of problem q it is lower.
    values = [("p", 0.9, True), ("p", 0.8, False), ("q", 0.1, True), ("q", 0.2, False)]
    steps = tuple(
        MeasuredStep(problem, number, 0, "x", "y", {"a": value})
        for number, (problem, value, _) in enumerate(values)
    )
    found = Comparison(("a",), steps, {n: correct for n, (*_, correct) in enumerate(values)})
    assert found.auc_within("a") == (1.0 + 0.0) / 2
    # Over all: 0.9 beats both, 0.1 beats none.
    assert found.auc("a") == 2 / 4


def test_measures_are_compared_by_rollout_and_by_step() -> None:
    steps = (step(0, "x", 1.0, 0.0), step(0, "y", 0.0, 0.2), step(1, "z", 0.25, 0.1))
    found = Comparison(("a", "b"), steps, {0: True, 1: False})
    # Means of a: 0.5 against 0.25; of b: 0.1 against 0.1.
    assert (found.auc("a"), found.auc("b")) == (1.0, 0.5)
    assert (found.auc_within("a"), found.auc_within("b")) == (1.0, 0.5)
    # Steps of a: 1 > 0.25 and 0 < 0.25; of b: 0 < 0.1 and 0.2 > 0.1.
    assert (found.step_auc("a"), found.step_auc("b")) == (0.5, 0.5)
    # Ranks of a: 3, 1, 2; of b: 1, 3, 2: rho = 1 − 6·(4 + 4 + 0)/(3·8) = −1.
    assert found.correlations("a", "b")[1] == pytest.approx(-1.0)
    assert [one.action for one in found.disagreements("a", "b", 5)] == ["x", "y"]
