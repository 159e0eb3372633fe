"""Numbers worked by hand, and brute force where the hand is too slow."""

from __future__ import annotations

from itertools import combinations
from math import comb, isnan, nan

import numpy as np
import pytest

from srl_agents.evaluation import statistics
from srl_agents.evaluation.statistics import (
    Scores,
    _student_quantile,
    all_differences,
    difference,
    estimate,
    interquartile_mean,
    mean,
    middle_mean,
    pass_at_k,
    performance_profile,
    probability_of_improvement,
)
from srl_env.errors import BadOption


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_one_correct_of_64_gives_pass_at_32_of_one_half() -> None:
    assert pass_at_k(64, 1, 32) == pytest.approx(0.5, abs=1e-12)


@pytest.mark.parametrize("n", [1, 2, 5, 7])
def test_pass_at_k_is_the_fraction_of_subsets_with_a_success(n: int) -> None:
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


# -- several base models, several methods ---------------------------------------------------------


@pytest.mark.parametrize(
    ("freedom", "tail", "expected"),
    [
        (1, 0.975, 12.706),
        (2, 0.975, 4.303),
        (3, 0.95, 2.353),
        (8, 0.975, 2.306),
        (30, 0.995, 2.750),
    ],
)
def test_students_quantiles_are_those_of_the_tables(
    freedom: int, tail: float, expected: float
) -> None:
    assert _student_quantile(tail, freedom) == pytest.approx(expected, abs=5e-4)


def test_one_base_in_a_list_is_the_table_alone() -> None:
    table = rng(1).random((3, 5))
    alone, listed = (estimate(x, rng=rng(2)) for x in (table, [table]))
    assert alone == listed


def test_bases_with_fewer_runs_are_drawn_as_often() -> None:
    found = estimate([[[0.0]] * 3, [[1.0]]], rng=rng())
    # Pooled 1/4; a resample of bases has 0, 1/4 or 1.
    assert (found.low, found.value, found.high) == (0.0, 0.25, 1.0)


def test_sides_with_different_bases_are_refused() -> None:
    source = rng()
    with pytest.raises(BadOption, match="the same base models; got 2 bases and 1"):
        difference([[[0.0]], [[1.0]]], [[0.0]], rng=source)
    with pytest.raises(BadOption, match="the same problems; got 1 problems and 2"):
        all_differences({"a": [[0.0]], "b": [[0.0, 1.0]]}, rng=source)


def test_all_differences_are_paired_by_problem_and_by_base() -> None:
    # b is a − 0.25 everywhere: no resample of problems or bases changes the difference.
    a = [np.full((2, 4), level) + np.arange(4) / 8 for level in (0.25, 0.5)]
    found = all_differences({"a": a, "b": [x - 0.25 for x in a]}, rng=rng())
    gap = found["a", "b"]
    assert (gap.low, gap.value, gap.high) == pytest.approx((0.25, 0.25, 0.25))


class World:
    """Methods that are equally good, with effects of base models, of seeds and of problems."""

    def __init__(self, bases: int, seeds: int, base_sd: float, seed_sd: float = 0.3) -> None:
        self.bases, self.seeds, self.base_sd, self.seed_sd = bases, seeds, base_sd, seed_sd

    def tables(self, source: np.random.Generator, methods: int) -> list[list[Scores]]:
        """The scores of each method; a base's effect is another one for each method."""
        problems = source.normal(0, 0.3, 32)
        return [
            [
                problems
                + source.normal(0, self.base_sd)
                + source.normal(0, self.seed_sd, (self.seeds, 1))
                for _ in range(self.bases)
            ]
            for _ in range(methods)
        ]


def test_two_levels_cover_the_truth_where_bases_differ_and_one_level_does_not() -> None:
    source, world = rng(5), World(bases=4, seeds=5, base_sd=0.5)
    covered = {"two": 0, "one": 0}
    for _ in range(200):
        (tables,) = world.tables(source, 1)
        flat = np.concatenate(tables)
        for name, given in (("two", tables), ("one", flat)):
            found = estimate(given, rng=source, resamples=300)  # type: ignore[arg-type]
            covered[name] += found.low <= 0 <= found.high
    assert covered["two"] >= 0.8 * 200
    assert covered["one"] <= 0.75 * 200


@pytest.mark.parametrize("world", [World(1, 5, 0.0), World(4, 3, 0.5)])
def test_pairs_of_equal_methods_differ_in_few_comparisons(world: World) -> None:
    source = rng(11)
    wrong = 0
    for _ in range(200):
        given = {str(i): tables for i, tables in enumerate(world.tables(source, 4))}
        found = all_differences(given, rng=source, resamples=300)  # type: ignore[arg-type]
        wrong += any(gap.low > 0 or gap.high < 0 for gap in found.values())
    assert wrong <= 0.085 * 200  # 0.05, and twice its standard error of 0.015


def test_the_middle_half_leaves_out_a_quarter_at_each_end_and_no_nan_counts() -> None:
    assert middle_mean(np.array([9.0, 0.0, 1.0, 4.0])) == 2.5  # 1 and 4
    assert middle_mean(np.arange(9.0)) == 4.0  # 2 … 6
    assert middle_mean(np.array([nan, 9.0, 0.0, nan, 1.0, 4.0])) == 2.5
    assert middle_mean(np.array([1.0, 5.0, 6.0])) == 4.0  # of three none is left out
    assert isnan(middle_mean(np.array([nan])))


def test_the_interquartile_mean_is_over_the_runs_of_all_bases_and_tasks() -> None:
    first = [[[1.0, 0.0], [1.0, 1.0]], [[0.0, 0.0]]]  # two bases: runs of 0.5 and 1, and of 0
    second = [[0.2, 0.2, 0.2]]  # one run
    found = interquartile_mean([[np.array(b) for b in first], np.array(second)], rng=rng())
    assert found.value == pytest.approx((0.2 + 0.5) / 2)
    assert found.low <= found.value <= found.high


def test_equal_runs_on_equal_problems_have_no_interval() -> None:
    tables = [np.full((3, 4), 0.25), np.full((2, 4), 0.25)]
    found = interquartile_mean([tables], rng=rng())
    assert (found.value, found.low, found.high) == (0.25, 0.25, 0.25)


def test_the_bootstrap_of_two_levels_draws_bases_before_seeds() -> None:
    tables = [np.ones((4, 2)), np.zeros((4, 2))]  # bases differ, seeds do not
    (found,) = performance_profile([tables], [0.5], rng=rng())
    assert found.value == 0.5
    assert (found.low, found.high) == (0.0, 1.0)  # one draw of two in four takes one base twice


def test_a_performance_profile_is_the_fraction_of_runs_above_each_threshold() -> None:
    runs = np.array([[0.0], [0.25], [0.5], [1.0]])
    found = performance_profile([runs], [0.0, 0.25, 0.75, 1.0], rng=rng())
    assert [each.value for each in found] == [0.75, 0.5, 0.25, 0.0]


def test_resamples_in_parts_are_those_made_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = np.array([0.0, 0.25, 1.0, np.nan, 0.5] * 8)
    whole = estimate(scores, rng=np.random.default_rng(3))
    monkeypatch.setattr(statistics, "_DRAWN_AT_ONCE", 100)  # two of 40 problems
    assert estimate(scores, rng=np.random.default_rng(3)) == whole


def test_problems_with_equal_scores_are_drawn_together(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = np.array([0.0, 1.0, np.nan, 1.0] * 50)
    other = np.array([1.0, 1.0, 0.0, 0.0] * 50)
    one_by_one = estimate(scores, rng=np.random.default_rng(3))
    apart = difference(scores, other, rng=np.random.default_rng(3))
    monkeypatch.setattr(statistics, "MOST_DRAWN", 100)
    monkeypatch.setattr(statistics, "_MANY_ALIKE", 1)
    together = estimate(scores, rng=np.random.default_rng(3))
    assert together.value == 2 / 3
    assert together.low == pytest.approx(one_by_one.low, abs=0.02)
    assert together.high == pytest.approx(one_by_one.high, abs=0.02)
    both = difference(scores, other, rng=np.random.default_rng(3))
    assert both.low == pytest.approx(apart.low, abs=0.03)
    assert both.high == pytest.approx(apart.high, abs=0.03)
    same = difference(scores, scores, rng=np.random.default_rng(3))
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)  # drawn in pairs
