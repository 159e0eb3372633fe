"""Scores from counts, and how far to trust them: pass@k, bootstrap intervals, comparisons.

Pure functions of numpy arrays. ``scores`` is always (R, P): R runs (training seeds) by P problems,
each entry the score of one problem under one run (its avg@k, its pass@k). NaN marks an entry
without a score: every rollout failed, or fewer than k did not. All statistics ignore NaN.

The bootstrap resamples whole runs and whole problems. rliable (arXiv:2108.13264) resamples runs
within each task, which fits tasks that are trained apart. Here one run answers every problem, so
its answers rise and fall together; resampling them apart would hide that.

Runs from several base models are given as one table for each base. Bases are then resampled first,
and runs within each base that is drawn: two levels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from srl_env.errors import BadOption

Scores = NDArray[np.float64]
Draws = NDArray[np.int64]

LEVEL = 0.95
"""The coverage of every interval."""

MOST_DRAWN = 100_000
"""Problems of one run that are drawn one by one; of more, those with equal scores together."""
_MANY_ALIKE = 1000  # problems for each different score
_DRAWN_AT_ONCE = 1 << 20  # problems, of all resamples together


def pass_at_k(n: ArrayLike, c: ArrayLike, k: int) -> Scores:
    """The unbiased chance that at least one of k rollouts is correct, from n of which c are.

    n, c: counts per problem, any shape (broadcast). Returns 1 − C(n−c, k) / C(n, k) in that
    shape, as a product of ratios that cannot overflow; NaN where n < k. Never 1 − (1−c/n)^k,
    which is too low. Raises BadOption for k < 1 or counts outside 0 ≤ c ≤ n.
    Source: Codex, arXiv:2107.03374, section 2.1.
    """
    total, correct = np.broadcast_arrays(np.asarray(n, np.float64), np.asarray(c, np.float64))
    if k < 1 or (correct < 0).any() or (correct > total).any():
        raise BadOption(f"pass@k needs k ≥ 1 and 0 ≤ c ≤ n; got k={k}, n={total}, c={correct}")
    all_wrong = np.ones(total.shape)
    with np.errstate(invalid="ignore", divide="ignore"):
        for drawn in range(k):
            all_wrong *= np.clip((total - correct - drawn) / (total - drawn), 0.0, 1.0)
    return np.asarray(np.where(total < k, np.nan, 1.0 - all_wrong))


def mean(scores: Scores) -> Scores:
    """The mean over the last axis of all entries that are not NaN; NaN if there are none."""
    known = ~np.isnan(scores)
    return _ratio(np.where(known, scores, 0.0).sum(axis=-1), known.sum(axis=-1))


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its interval, in the unit of the scores; NaN if unknown."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"


Tables = ArrayLike | Sequence[ArrayLike]
"""(R, P), or a list of those, one for each base model."""


def estimate(scores: Tables, *, rng: np.random.Generator, resamples: int = 2000) -> Estimate:
    """The mean of the scores with a 95 % percentile bootstrap interval.

    scores: (R, P), or (P,) for one run; a list has one table for each base model. Bases, runs and
    problems are resampled, so the interval covers the choice of each of which there are several.
    With three to five runs or bases it is somewhat too narrow, like every percentile bootstrap.
    """
    return _percentiles([_Whole.of(scores)], rng, resamples)


def difference(
    a: Tables, b: Tables, *, rng: np.random.Generator, resamples: int = 2000
) -> Estimate:
    """mean(a) − mean(b) on the same problems, with a 95 % bootstrap interval.

    a: (R, P) and b: (S, P), column j the same problem in both. Draws of problems and of base models
    are shared (paired), those of runs are not. Raises BadOption if the numbers of problems or bases
    differ.
    """
    return _percentiles(_paired(a, b), rng, resamples)


def _percentiles(wholes: Sequence[_Whole], rng: np.random.Generator, resamples: int) -> Estimate:
    """The mean of one table, or that of the first minus that of the second."""
    bases = wholes[0].draw_bases(rng, resamples)
    runs = [whole.draw_runs(rng, resamples, bases) for whole in wholes]
    drawn = _resampled_means(wholes, runs, rng)
    values = [float(mean(whole.table.ravel())) for whole in wholes]
    value = values[0] - sum(values[1:])
    return _with_interval(value, drawn[0] - sum(drawn[1:]))


def _resampled_means(
    wholes: Sequence[_Whole], runs: Sequence[Draws], rng: np.random.Generator
) -> list[Scores]:
    """Each table's means (resamples,) over its drawn runs and over problems drawn for all.

    As many resamples at once as fit into memory; the draws are the same.
    """
    resamples, problems = len(runs[0]), wholes[0].problems
    if problems > MOST_DRAWN and all(len(whole.table) == 1 for whole in wholes):
        tables = np.concatenate([whole.table for whole in wholes])
        kinds, sizes = _kinds(tables)
        if len(sizes) * _MANY_ALIKE <= problems:
            return _multinomial_means(kinds, sizes, resamples, rng)
    size = max(1, _DRAWN_AT_ONCE // max(1, problems))
    found: list[list[Scores]] = [[] for _ in wholes]
    for begin in range(0, resamples, size):
        drawn = _draws(rng, min(size, resamples - begin), problems)
        for means, whole, each in zip(found, wholes, runs, strict=True):
            means.append(whole.resampled_means(each[begin : begin + size], drawn))
    return [np.concatenate(means) for means in found]


def _kinds(tables: Scores) -> tuple[Scores, Draws]:
    """The different columns of (tables, P), and how often each occurs."""
    codes = np.zeros(tables.shape[1], np.int64)
    for row in tables:
        values, places = np.unique(row, return_inverse=True)
        codes = np.unique(codes * len(values) + places, return_inverse=True)[1]
    _, first, sizes = np.unique(codes, return_index=True, return_counts=True)
    return tables[:, first], sizes


def _multinomial_means(
    kinds: Scores, sizes: Draws, resamples: int, rng: np.random.Generator
) -> list[Scores]:
    """The means (resamples,) of each table over drawn problems, of which many have equal scores.

    How many problems of a kind a resample has is multinomial.
    """
    known = ~np.isnan(kinds)
    drawn = rng.multinomial(sizes.sum(), sizes / sizes.sum(), size=resamples).T
    return list(_ratio(np.where(known, kinds, 0.0) @ drawn, known.astype(np.int64) @ drawn))


def _with_interval(value: float, found: Scores) -> Estimate:
    """The value with the percentiles of the resampled values."""
    known = found[~np.isnan(found)]  # a draw without any score says nothing
    if math.isnan(value) or not known.size:
        return Estimate(value, math.nan, math.nan)
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, float(low), float(high))


def all_differences(
    scores: Mapping[str, Tables],
    *,
    rng: np.random.Generator,
    resamples: int = 2000,
) -> dict[tuple[str, str], Estimate]:
    """{(a, b): mean of a − mean of b} for every pair, with intervals that hold together.

    With a probability of 95 % all intervals contain their true differences at once. So choosing
    among the methods, for example the best, makes none of them untrue. Each is the difference ± c
    standard errors; c is the 95 % quantile of the largest |t| of all pairs in each bootstrap
    resample (single-step max-t, Westfall and Young 1993). Problems and bases are drawn for all
    methods together.
    There are two corrections for few runs. Each run's difference from its mean (each base's, if
    there are several) is scaled by √(n/(n−1)), which makes the bootstrap's variance unbiased (Rao
    and Wu 1988). And c becomes the quantile of Student's t with the same tail.
    Raises BadOption if the numbers of problems or bases differ.
    """
    names = list(scores)
    wholes = {name: _Whole.of(table) for name, table in scores.items()}
    for name in names[1:]:
        _check_paired(wholes[names[0]], wholes[name])
    first = wholes[names[0]]
    bases = first.draw_bases(rng, resamples)
    problems = _draws(rng, resamples, first.problems)
    drawn = {
        name: whole.spread().resampled_means(whole.draw_runs(rng, resamples, bases), problems)
        for name, whole in wholes.items()
    }
    values = {name: float(mean(whole.table.ravel())) for name, whole in wholes.items()}
    pairs = list(combinations(names, 2))
    gaps = np.array([values[a] - values[b] for a, b in pairs])
    away = np.array([drawn[a] - drawn[b] for a, b in pairs]) - gaps[:, None]  # (pairs, resamples)
    errors = np.sqrt(np.nanmean(away**2, axis=1))
    with np.errstate(invalid="ignore", divide="ignore"):
        largest = np.nanmax(np.abs(away) / errors[:, None], axis=0, initial=0.0)
    reach = _student_reach(float(np.quantile(largest, LEVEL)), _freedom(wholes.values()))
    return {
        pair: Estimate(float(gap), float(gap - reach * error), float(gap + reach * error))
        for pair, gap, error in zip(pairs, gaps, errors, strict=True)
    }


def interquartile_mean(
    tasks: Sequence[Tables], *, rng: np.random.Generator, resamples: int = 2000
) -> Estimate:
    """The mean of the middle half of all runs' scores, with a 95 % bootstrap interval.

    tasks: the scores on each task, as for ``estimate``. A run's score is its mean over problems.
    Of n scores the lowest and the highest ⌊n/4⌋ are left out. Each task is resampled by itself:
    bases, then runs, and problems.
    Source: rliable, arXiv:2108.13264, section 4.3; the levels of the bootstrap are ours.
    """
    drawn = middle_mean(_drawn_run_scores(tasks, rng, resamples))
    return _with_interval(float(middle_mean(_run_scores(tasks))), drawn)


def performance_profile(
    tasks: Sequence[Tables],
    thresholds: Sequence[float],
    *,
    rng: np.random.Generator,
    resamples: int = 2000,
) -> list[Estimate]:
    """The fraction of runs that score above each threshold, with pointwise 95 % intervals.

    Arguments and resampling are those of ``interquartile_mean``.
    Source: rliable, arXiv:2108.13264, section 4.2.
    """
    scores, drawn = _run_scores(tasks), _drawn_run_scores(tasks, rng, resamples)
    return [
        _with_interval(float(_fraction_above(scores, each)), _fraction_above(drawn, each))
        for each in thresholds
    ]


def middle_mean(values: Scores) -> Scores:
    """The mean of the middle half of the values along the last axis, without NaN."""
    count = (~np.isnan(values)).sum(axis=-1, keepdims=True)
    place = np.arange(values.shape[-1])
    kept = (place >= count // 4) & (place < count - count // 4)
    ordered = np.where(kept, np.sort(values, axis=-1), 0.0)  # NaN comes last
    return _ratio(ordered.sum(axis=-1), kept.sum(axis=-1))


def _fraction_above(scores: Scores, threshold: float) -> Scores:
    return mean(np.where(np.isnan(scores), np.nan, scores > threshold))


def _run_scores(tasks: Sequence[Tables]) -> Scores:
    """(runs of all tasks,): each run's mean over its problems."""
    return np.concatenate([mean(_Whole.of(task).table) for task in tasks])


def _drawn_run_scores(tasks: Sequence[Tables], rng: np.random.Generator, size: int) -> Scores:
    """(size, runs of all tasks): the same in each resample; NaN for a run that was not drawn."""
    wholes = [_Whole.of(task) for task in tasks]
    drawn = [
        whole.run_means(
            whole.draw_runs(rng, size, whole.draw_bases(rng, size)),
            _draws(rng, size, whole.problems),
        )
        for whole in wholes
    ]
    return np.concatenate(drawn, axis=1)


def probability_of_improvement(a: Tables, b: Tables) -> float:
    """The probability that a run of a scores above a run of b on a problem drawn at random.

    a: (R, P) and b: (S, P). Per problem the Mann–Whitney U / (R·S), ties counting a half, then
    the mean over problems. Runs are compared with runs of the same base model. 0.5 is no
    difference, NaN if nothing can be compared.
    Source: rliable, arXiv:2108.13264, section 4.3.
    """
    left, right = _paired(a, b)
    wins = [_wins(x, y) for x, y in zip(left.of_bases(), right.of_bases(), strict=True)]
    return float(mean(np.array(wins)))


def _wins(left: Scores, right: Scores) -> Scores:
    gaps = left[:, None, :] - right[None, :, :]  # (R, S, P)
    wins = np.where(np.isnan(gaps), np.nan, (gaps > 0) + 0.5 * (gaps == 0))
    return mean(mean(wins.reshape(-1, wins.shape[2]).T))


@dataclass(frozen=True, slots=True)
class _Whole:
    """The runs of all bases in one table, (runs, P), and the number of runs of each base."""

    table: Scores
    sizes: tuple[int, ...]

    @classmethod
    def of(cls, scores: Tables) -> _Whole:
        several = isinstance(scores, list | tuple) and np.ndim(scores[0]) == 2
        parts = scores if several else [scores]
        tables = [np.atleast_2d(np.asarray(part, np.float64)) for part in cast(Any, parts)]
        return cls(np.concatenate(tables), tuple(map(len, tables)))

    @property
    def problems(self) -> int:
        return int(self.table.shape[1])

    def of_bases(self) -> list[Scores]:
        return np.split(self.table, np.cumsum(self.sizes)[:-1])

    def draw_bases(self, rng: np.random.Generator, size: int) -> Draws | None:
        """(size, bases); None for a single base."""
        return None if len(self.sizes) == 1 else _draws(rng, size, len(self.sizes))

    def draw_runs(self, rng: np.random.Generator, size: int, bases: Draws | None) -> Draws:
        """(size, runs): for each drawn base as many runs as it has; −1 for none."""
        if bases is None:
            return _draws(rng, size, len(self.table))
        sizes, begins = np.array(self.sizes), np.cumsum((0, *self.sizes[:-1]))
        many = sizes[bases][:, :, None]  # (size, bases, 1)
        drawn = np.floor(rng.random((*bases.shape, sizes.max())) * many).astype(np.int64)
        runs = np.where(np.arange(sizes.max()) < many, drawn + begins[bases][:, :, None], -1)
        return runs.reshape(size, -1)

    def resampled_means(self, runs: Draws, problems: Draws) -> Scores:
        """(size,): the mean of each resample of runs (size, runs) and problems (size, P)."""
        by_run, by_problem = _counts(runs, len(self.table)), _counts(problems, self.problems)
        known = ~np.isnan(self.table)
        total = ((by_run @ np.where(known, self.table, 0.0)) * by_problem).sum(axis=1)
        return _ratio(total, ((by_run @ known.astype(np.float64)) * by_problem).sum(axis=1))

    def run_means(self, runs: Draws, problems: Draws) -> Scores:
        """(size, runs): the mean of each drawn run over the drawn problems; NaN for no run."""
        by_problem, known = _counts(problems, self.problems), ~np.isnan(self.table)
        total = by_problem @ np.where(known, self.table, 0.0).T
        means = _ratio(total, by_problem @ known.T.astype(np.float64))
        return np.where(runs < 0, np.nan, np.take_along_axis(means, np.maximum(runs, 0), axis=1))

    def spread(self) -> _Whole:
        """The runs with their first level, bases or else runs, further from the mean.

        The factor is √(n/(n−1)). Each problem has its own mean.
        """
        tables = self.of_bases()
        parts = tables if len(tables) > 1 else list(self.table[:, None])
        middles = [mean(part.T) for part in parts]  # (P,) each
        away = np.array(middles) - mean(np.array(middles).T)
        further = (math.sqrt(len(parts) / max(1, len(parts) - 1)) - 1) * away
        table = np.concatenate([part + more for part, more in zip(parts, further, strict=True)])
        return _Whole(table, self.sizes)


def _freedom(wholes: Iterable[_Whole]) -> int:
    """The smallest degrees of freedom of the differences of two methods.

    They come from runs, or from bases if there are several, whose differences are paired.
    """
    return min(
        len(whole.sizes) - 1 if len(whole.sizes) > 1 else 2 * (len(whole.table) - 1)
        for whole in wholes
    )


def _student_reach(reach: float, freedom: int) -> float:
    """The quantile of Student's t with the same tail as the normal quantile ``reach``.

    With one run each (no freedom) only problems are covered, and nothing changes.
    """
    if freedom < 1 or reach <= 0:
        return reach
    return _student_quantile(NormalDist().cdf(min(reach, 8.0)), freedom)


def _student_quantile(tail: float, freedom: int) -> float:
    """The quantile of Student's t, by bisection of its distribution function."""
    low, high = 0.0, 1e3
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _student_cdf(middle, freedom) < tail else (low, middle)
    return high


def _student_cdf(t: float, freedom: int) -> float:
    """A finite sum for whole degrees of freedom: Abramowitz and Stegun 26.7.3 and 26.7.4."""
    angle, total = math.atan(t / math.sqrt(freedom)), 0.0
    cosine = math.cos(angle)
    term = cosine if freedom % 2 else 1.0
    for k in range(3 if freedom % 2 else 2, freedom + 1, 2):
        total += term
        term *= (k - 1) / k * cosine**2
    inside = math.sin(angle) * total
    return 0.5 + ((2 / math.pi * (angle + inside)) if freedom % 2 else inside) / 2


def _ratio(total: Scores, count: Scores | Draws) -> Scores:
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))


def _counts(draws: Draws, places: int) -> Scores:
    """(size, places): how often each row draws each place; −1 is none."""
    counts = np.empty((len(draws), places))
    for row, drawn in zip(counts, draws, strict=True):
        row[:] = np.bincount(drawn + 1, minlength=places + 1)[1:]
    return counts


def _draws(rng: np.random.Generator, size: int, n: int) -> Draws:
    """(size, n): each row n draws with replacement out of n."""
    return rng.integers(n, size=(size, n))


def _paired(a: Tables, b: Tables) -> tuple[_Whole, _Whole]:
    left, right = _Whole.of(a), _Whole.of(b)
    _check_paired(left, right)
    return left, right


def _check_paired(left: _Whole, right: _Whole) -> None:
    if left.problems != right.problems:
        raise BadOption(
            "both sides must be scored on the same problems; got"
            f" {left.problems} problems and {right.problems}"
        )
    if len(left.sizes) != len(right.sizes):
        raise BadOption(
            "both sides must have runs of the same base models; got"
            f" {len(left.sizes)} bases and {len(right.sizes)}"
        )
