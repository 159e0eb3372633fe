"""Numbers worked by hand, and brute force where the hand is too slow."""

from __future__ import annotations

from itertools import combinations
from math import comb, isnan, nan

import numpy as np
import pytest

from srl_agents.statistics import (
    difference,
    estimate,
    interquartile_mean,
    mean,
    pass_at_k,
    probability_of_improvement,
)
from srl_env.errors import BadOption


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_one_right_of_64_gives_pass_at_32_of_one_half() -> None:
    assert pass_at_k(64, 1, 32) == pytest.approx(0.5, abs=1e-12)


@pytest.mark.parametrize("n", [1, 2, 5, 7])
def test_pass_at_k_is_the_share_of_subsets_with_a_success(n: int) -> None:
    for c in range(n + 1):
        outcomes = [1] * c + [0] * (n - c)
        for k in range(1, n + 1):
            share = np.mean([any(subset) for subset in combinations(outcomes, k)])
            assert pass_at_k(n, c, k) == pytest.approx(share, abs=1e-12)


def test_pass_at_k_agrees_with_exact_integers_where_factorials_overflow_floats() -> None:
    n, c, k = 5000, 3, 1700
    exact = 1 - comb(n - c, k) / comb(n, k)
    assert pass_at_k(n, c, k) == pytest.approx(exact, rel=1e-9)


def test_pass_at_k_on_drawn_subsets_is_unbiased() -> None:
    generator = rng()
    right = generator.random((200_000, 8)) < 0.2
    expected = 1 - 0.8**4
    estimated = pass_at_k(8, right.sum(axis=1), 4)
    assert estimated.mean() == pytest.approx(expected, abs=0.003)


def test_pass_at_1_is_the_mean() -> None:
    assert pass_at_k([8, 8, 4], [2, 8, 0], 1).tolist() == pytest.approx([0.25, 1.0, 0.0])


def test_too_few_rollouts_for_k_give_nan_and_not_zero() -> None:
    values = pass_at_k([8, 3], [8, 3], 4)
    assert values[0] == 1.0
    assert isnan(values[1])


@pytest.mark.parametrize(("n", "c", "k"), [(8, 9, 1), (8, -1, 1), (8, 1, 0)])
def test_impossible_counts_are_refused(n: int, c: int, k: int) -> None:
    with pytest.raises(BadOption, match="0 ≤ c ≤ n"):
        pass_at_k(n, c, k)


def test_means_leave_nan_out() -> None:
    assert mean(np.array([[1.0, nan, 0.0], [1.0, 2.0, 6.0]])).tolist() == [0.5, 3.0]
    assert isnan(mean(np.array([nan])))


def test_the_interquartile_mean_cuts_a_quarter_at_each_end() -> None:
    assert interquartile_mean(np.array([0.0, 1.0, 2.0, 100.0])) == 1.5
    assert interquartile_mean(np.array([-50.0, 1.0, 2.0, 3.0, nan, 100.0])) == 2.0
    assert interquartile_mean(np.array([[1.0, 2.0, 6.0], [nan] * 3])).tolist()[0] == 3.0


def test_the_same_seed_gives_the_same_interval() -> None:
    scores = rng(1).random((3, 20))
    assert estimate(scores, rng=rng(7)) == estimate(scores, rng=rng(7))
    assert estimate(scores, rng=rng(7)) != estimate(scores, rng=rng(8))


def test_equal_scores_have_an_interval_of_width_zero() -> None:
    found = estimate(np.full((3, 9), 0.25), rng=rng())
    assert (found.value, found.low, found.high) == (0.25, 0.25, 0.25)


def test_the_interval_of_coin_tosses_is_about_two_standard_errors_wide() -> None:
    tosses = (np.arange(400) % 2).astype(float)
    found = estimate(tosses, rng=rng())
    error = 0.5 / np.sqrt(400)
    assert found.value == 0.5
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.1)


def test_intervals_of_single_runs_cover_the_truth_as_often_as_they_say() -> None:
    generator = rng(3)
    covered = [
        found.low <= 0.3 <= found.high
        for found in (
            estimate((generator.random(100) < 0.3).astype(float), rng=generator, resamples=300)
            for _ in range(200)
        )
    ]
    assert 0.88 <= np.mean(covered) <= 0.99


def test_a_run_that_collapsed_as_a_whole_widens_the_interval() -> None:
    scores = np.ones((4, 100))
    scores[0] = 0.0
    found = estimate(scores, rng=rng())
    assert found.value == 0.75
    assert found.low <= 0.25
    assert found.high == 1.0


def test_without_any_score_the_estimate_is_nan_and_nothing_warns() -> None:
    found = estimate(np.full((2, 3), nan), rng=rng())
    assert all(isnan(x) for x in (found.value, found.low, found.high))


def test_a_difference_on_the_same_problems_ignores_what_they_share() -> None:
    difficulty = rng(2).random(60)
    found = difference(difficulty + 0.1, difficulty, rng=rng())
    assert found.value == pytest.approx(0.1)
    assert found.high - found.low == pytest.approx(0.0, abs=1e-9)


def test_differences_need_the_same_problems() -> None:
    with pytest.raises(BadOption, match="3 problems and 2"):
        difference(np.zeros((1, 3)), np.zeros((1, 2)), rng=rng())


def test_probability_of_improvement_by_hand() -> None:
    a = np.array([[1.0, 0.5], [0.0, 0.5]])
    b = np.array([[0.0, 0.5]])
    # Problem 0: 1 > 0 wins, 0 = 0 half: 0.75. Problem 1: two ties: 0.5.
    assert probability_of_improvement(a, b) == 0.625
    assert probability_of_improvement(b, a) == 0.375


def test_probability_of_improvement_leaves_missing_scores_out() -> None:
    assert probability_of_improvement([[1.0, nan]], [[0.0, 0.0]]) == 1.0
    assert isnan(probability_of_improvement([[nan]], [[0.0]]))
