"""Scores from counts, and how far to trust them: pass@k, bootstrap intervals, comparisons.

Pure functions of numpy arrays. The shape that returns everywhere is ``scores``, (R, P): R runs
(training seeds) by P problems, each entry the score of one problem under one run (its avg@k,
its pass@k). NaN marks an entry without a score (every rollout failed, or fewer than k did not);
all statistics leave NaN out.

The bootstrap resamples whole runs and whole problems. rliable's (arXiv:2108.13264) resamples
runs within each task apart, which fits tasks that are trained apart; here one run answers every
problem, so its answers rise and fall together, and resampling them apart would hide that.

Runs that began from several base models are given as one table for each base. Bases are then
resampled first, and runs within each base that is drawn: two levels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from srl_env.errors import BadOption

Scores = NDArray[np.float64]
Statistic = Callable[[Scores], Scores]
"""Reduces the last axis of an array of any shape."""

_ENTRIES_AT_ONCE = 1 << 21


def pass_at_k(n: ArrayLike, c: ArrayLike, k: int) -> Scores:
    """The chance that at least one of k rollouts is right, without bias, from n of which c are.

    n, c: counts per problem, any shape (broadcast). Returns 1 − C(n−c, k) / C(n, k) in that
    shape, as a product of ratios that cannot overflow; NaN where n < k. Never 1 − (1−c/n)^k,
    which is too low. Raises BadOption for k < 1 or counts outside 0 ≤ c ≤ n.
    Source: Codex, arXiv:2107.03374, section 2.1.
    """
    total, right = np.broadcast_arrays(np.asarray(n, np.float64), np.asarray(c, np.float64))
    if k < 1 or (right < 0).any() or (right > total).any():
        raise BadOption(f"pass@k needs k ≥ 1 and 0 ≤ c ≤ n; got k={k}, n={total}, c={right}")
    drawn = np.arange(k).reshape(-1, *([1] * total.ndim))
    with np.errstate(invalid="ignore", divide="ignore"):
        all_wrong = np.clip((total - right - drawn) / (total - drawn), 0.0, 1.0).prod(axis=0)
    return np.asarray(np.where(total < k, np.nan, 1.0 - all_wrong))


def mean(scores: Scores) -> Scores:
    """The mean over the last axis of all entries that are not NaN; NaN where none is left."""
    known = ~np.isnan(scores)
    count = known.sum(axis=-1)
    total = np.where(known, scores, 0.0).sum(axis=-1)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))


def interquartile_mean(scores: Scores) -> Scores:
    """The mean of the middle half over the last axis: a quarter, rounded down, is cut at each end.

    Robust against single runs that collapse or excel; NaN where there is no entry.
    Source: rliable, arXiv:2108.13264, section 4.3.
    """
    ordered = np.sort(scores, axis=-1)  # NaN last
    count = (~np.isnan(ordered)).sum(axis=-1, keepdims=True)
    place = np.arange(ordered.shape[-1])
    middle = (place >= count // 4) & (place < count - count // 4)
    return mean(np.where(middle, ordered, np.nan))


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its interval, all three in the unit of the scores; NaN where unknown."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"


Tables = ArrayLike | Sequence[ArrayLike]
"""(R, P), or a list of those, one for each base model."""


def estimate(
    scores: Tables,
    statistic: Statistic = mean,
    *,
    rng: np.random.Generator,
    level: float = 0.95,
    resamples: int = 2000,
) -> Estimate:
    """The statistic of the scores with a percentile bootstrap interval of that level.

    scores: (R, P), or (P,) for one run; a list of tables has one for each base model. Bases, runs
    and problems are resampled, so the interval covers the choice of each of which there are
    several. Of three to five runs or bases it is somewhat too narrow, as every percentile
    bootstrap of so few is.
    """
    whole = _Whole.of(scores)
    drawn = []
    for size in _batches(resamples, whole.table.size):
        runs = whole.draw_runs(rng, size, whole.draw_bases(rng, size))
        drawn.append(statistic(_drawn(whole.table, runs, _draws(rng, size, whole.problems))))
    return _estimate(statistic(whole.table.ravel()), np.concatenate(drawn), level)


def difference(
    a: Tables,
    b: Tables,
    statistic: Statistic = mean,
    *,
    rng: np.random.Generator,
    level: float = 0.95,
    resamples: int = 2000,
) -> Estimate:
    """statistic(a) − statistic(b) on the same problems, with a bootstrap interval.

    a: (R, P) and b: (S, P), column j the same problem in both: the draws of problems are shared
    (paired), and those of base models, where there are several; those of runs are not. Raises
    BadOption if the problems or the bases differ in number.
    """
    left, right = _paired(a, b)
    drawn = []
    for size in _batches(resamples, left.table.size + right.table.size):
        bases = left.draw_bases(rng, size)
        problems = _draws(rng, size, left.problems)
        first, second = (
            statistic(_drawn(x.table, x.draw_runs(rng, size, bases), problems))
            for x in (left, right)
        )
        drawn.append(first - second)
    value = statistic(left.table.ravel()) - statistic(right.table.ravel())
    return _estimate(value, np.concatenate(drawn), level)


def all_differences(
    scores: Mapping[str, Tables],
    *,
    rng: np.random.Generator,
    level: float = 0.95,
    resamples: int = 2000,
) -> dict[tuple[str, str], Estimate]:
    """{(a, b): mean of a − mean of b} for every pair, with intervals that hold together.

    With the probability ``level`` all intervals contain their true differences at once. So no
    choice among the methods, such as looking at the best, makes one of them untrue. Each is the
    difference ± c standard errors. Where c comes from: the largest of the pairs' |t| in each
    bootstrap resample has its ``level`` quantile there (single-step max-t, Westfall and Young
    1993). Problems and bases are drawn for all methods together. For few runs: the deviations of
    runs, or of bases where there are several, are scaled by √(n/(n−1)), which makes the bootstrap's
    variance unbiased (Rao and Wu 1988), and c becomes the quantile of Student's t that is exceeded
    as seldom.
    Raises BadOption if the problems or the bases differ in number.
    """
    names = list(scores)
    wholes = {name: _Whole.of(table) for name, table in scores.items()}
    for name in names[1:]:
        _check_paired(wholes[names[0]], wholes[name])
    first = wholes[names[0]]
    bases = first.draw_bases(rng, resamples)
    problems = _counts(_draws(rng, resamples, first.problems), first.problems)
    drawn = {name: whole.resampled_means(rng, bases, problems) for name, whole in wholes.items()}
    values = {name: float(mean(whole.table.ravel())) for name, whole in wholes.items()}
    pairs = list(combinations(names, 2))
    gaps = np.array([values[a] - values[b] for a, b in pairs])
    away = np.array([drawn[a] - drawn[b] for a, b in pairs]) - gaps[:, None]  # (pairs, resamples)
    errors = np.sqrt(np.nanmean(away**2, axis=1))
    with np.errstate(invalid="ignore", divide="ignore"):
        largest = np.nanmax(np.abs(away) / errors[:, None], axis=0, initial=0.0)
    reach = _student_reach(float(np.quantile(largest, level)), _freedom(wholes.values()))
    return {
        pair: Estimate(float(gap), float(gap - reach * error), float(gap + reach * error))
        for pair, gap, error in zip(pairs, gaps, errors, strict=True)
    }


def probability_of_improvement(a: Tables, b: Tables) -> float:
    """How likely a run of a scores above a run of b on a problem drawn at random.

    a: (R, P) and b: (S, P). Per problem the Mann–Whitney U / (R·S), ties counting a half, then
    the mean over problems; runs of several base models are compared with those of the same base.
    0.5 is no difference, NaN if nothing can be compared.
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
    """The runs of all bases in one table, (runs, P), and how many each base has."""

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

    def draw_bases(self, rng: np.random.Generator, size: int) -> NDArray[np.int64] | None:
        """(size, bases); None where there is one base, and nothing to draw."""
        return None if len(self.sizes) == 1 else _draws(rng, size, len(self.sizes))

    def draw_runs(
        self, rng: np.random.Generator, size: int, bases: NDArray[np.int64] | None
    ) -> NDArray[np.int64]:
        """(size, runs): of each base that was drawn, as many runs as it has; −1 for none."""
        if bases is None:
            return _draws(rng, size, len(self.table))
        sizes, begins = np.array(self.sizes), np.cumsum((0, *self.sizes[:-1]))
        many = sizes[bases][:, :, None]  # (size, bases, 1)
        drawn = np.floor(rng.random((*bases.shape, sizes.max())) * many).astype(np.int64)
        runs = np.where(np.arange(sizes.max()) < many, drawn + begins[bases][:, :, None], -1)
        return runs.reshape(size, -1)

    def resampled_means(
        self,
        rng: np.random.Generator,
        bases: NDArray[np.int64] | None,
        problems: Scores,
    ) -> Scores:
        """(size,): the mean of each resample; problems: (size, P), how often each is drawn."""
        size = len(problems)
        runs = _counts(self.draw_runs(rng, size, bases), len(self.table))
        table = self._spread()
        known = ~np.isnan(table)
        total = ((runs @ np.where(known, table, 0.0)) * problems).sum(axis=1)
        count = ((runs @ known.astype(np.float64)) * problems).sum(axis=1)
        return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))

    def _spread(self) -> Scores:
        """The table with what is drawn first, bases or else runs, further from its mean by
        √(n/(n−1)), problem by problem."""
        tables = self.of_bases()
        parts = tables if len(tables) > 1 else list(self.table[:, None])
        middles = [_column_means(part) for part in parts]  # (P,) each
        away = np.array(middles) - _column_means(np.array(middles))
        further = (math.sqrt(len(parts) / max(1, len(parts) - 1)) - 1) * away
        return np.concatenate([part + more for part, more in zip(parts, further, strict=True)])


def _freedom(wholes: Iterable[_Whole]) -> int:
    """The degrees of freedom that the differences of two methods leave, at the least.

    Those of runs; where there are several bases those of bases, whose differences are paired.
    """
    return min(
        len(whole.sizes) - 1 if len(whole.sizes) > 1 else 2 * (len(whole.table) - 1)
        for whole in wholes
    )


def _student_reach(reach: float, freedom: int) -> float:
    """The number of standard errors that Student's t leaves as seldom as the normal ``reach``.

    Without freedom, from one run each, nothing but problems is covered, and nothing changes.
    """
    if freedom < 1 or reach <= 0:
        return reach
    return _student_quantile(NormalDist().cdf(min(reach, 8.0)), freedom)


def _student_quantile(tail: float, freedom: int) -> float:
    """The quantile of Student's t, by bisection of its distribution function.

    For whole degrees of freedom that is a finite sum (Abramowitz and Stegun 26.7.3 and 26.7.4).
    """
    low, high = 0.0, 1e3
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _student_cdf(middle, freedom) < tail else (low, middle)
    return high


def _student_cdf(t: float, freedom: int) -> float:
    angle, total = math.atan(t / math.sqrt(freedom)), 0.0
    cosine = math.cos(angle)
    term = cosine if freedom % 2 else 1.0
    for k in range(3 if freedom % 2 else 2, freedom + 1, 2):
        total += term
        term *= (k - 1) / k * cosine**2
    inside = math.sin(angle) * total
    if freedom % 2:
        inside = 2 / math.pi * (angle + inside)
    return 0.5 + inside / 2


def _column_means(table: Scores) -> Scores:
    """(P,): the mean of each column's entries that are not NaN."""
    return mean(table.T)


def _counts(draws: NDArray[np.int64], places: int) -> Scores:
    """(size, places): how often each row draws each place; −1 is none."""
    counts = np.zeros((len(draws), places + 1))
    np.add.at(counts, (np.arange(len(draws))[:, None], draws), 1.0)
    return counts[:, :places]


def _draws(rng: np.random.Generator, size: int, n: int) -> NDArray[np.int64]:
    """(size, n): each row n draws with replacement out of n."""
    return rng.integers(n, size=(size, n))


def _drawn(table: Scores, runs: NDArray[np.int64], problems: NDArray[np.int64]) -> Scores:
    """(B, R·P): the entries of the table at each row's runs (B, R) and problems (B, P).

    A run of −1 is none: NaN.
    """
    entries = table[runs[:, :, None], problems[:, None, :]]
    return np.where(runs[:, :, None] >= 0, entries, np.nan).reshape(len(runs), -1)


def _batches(resamples: int, entries: int) -> Iterator[int]:
    """Sizes that add up to the number of resamples, each small enough for memory."""
    size = max(1, _ENTRIES_AT_ONCE // max(1, entries))
    for begin in range(0, resamples, size):
        yield min(size, resamples - begin)


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


def _estimate(value: Scores, resampled: Scores, level: float) -> Estimate:
    """Draws without any score (NaN) say nothing and are left out of the interval."""
    known = resampled[~np.isnan(resampled)]
    if np.isnan(value) or not known.size:
        return Estimate(float(value), float("nan"), float("nan"))
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(float(value), float(low), float(high))
