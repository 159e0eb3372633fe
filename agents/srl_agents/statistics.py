"""Scores from counts, and how far to trust them: pass@k, bootstrap intervals, comparisons.

Pure functions of numpy arrays. The shape that returns everywhere is ``scores``, (R, P): R runs
(training seeds) by P problems, each entry the score of one problem under one run (its avg@k,
its pass@k). NaN marks an entry without a score (every rollout failed, or fewer than k did not);
all statistics leave NaN out.

The bootstrap resamples whole runs and whole problems. rliable's (arXiv:2108.13264) resamples
runs within each task apart, which fits tasks that are trained apart; here one run answers every
problem, so its answers rise and fall together, and resampling them apart would hide that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

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


def estimate(
    scores: ArrayLike,
    statistic: Statistic = mean,
    *,
    rng: np.random.Generator,
    level: float = 0.95,
    resamples: int = 2000,
) -> Estimate:
    """The statistic of the scores with a percentile bootstrap interval of that level.

    scores: (R, P), or (P,) for one run. Runs and problems are both resampled, so the interval
    covers the choice of seeds and of problems; with one run it covers problems only, and with
    three to five runs it is somewhat too narrow, as every bootstrap of so few is.
    """
    table = np.atleast_2d(np.asarray(scores, np.float64))
    drawn = [
        statistic(_drawn(table, _draws(rng, size, len(table)), _draws(rng, size, table.shape[1])))
        for size in _batches(resamples, table.size)
    ]
    return _estimate(statistic(table.ravel()), np.concatenate(drawn), level)


def difference(
    a: ArrayLike,
    b: ArrayLike,
    statistic: Statistic = mean,
    *,
    rng: np.random.Generator,
    level: float = 0.95,
    resamples: int = 2000,
) -> Estimate:
    """statistic(a) − statistic(b) on the same problems, with a bootstrap interval.

    a: (R, P) and b: (S, P), column j the same problem in both: the draws of problems are shared
    (paired), those of runs are not. Raises BadOption if the problems differ in number.
    """
    left, right = _paired(a, b)
    drawn = []
    for size in _batches(resamples, left.size + right.size):
        problems = _draws(rng, size, left.shape[1])
        sides = (_drawn(x, _draws(rng, size, len(x)), problems) for x in (left, right))
        first, second = map(statistic, sides)
        drawn.append(first - second)
    value = statistic(left.ravel()) - statistic(right.ravel())
    return _estimate(value, np.concatenate(drawn), level)


def probability_of_improvement(a: ArrayLike, b: ArrayLike) -> float:
    """How likely a run of a scores above a run of b on a problem drawn at random.

    a: (R, P) and b: (S, P). Per problem the Mann–Whitney U / (R·S), ties counting a half, then
    the mean over problems; 0.5 is no difference, NaN if nothing can be compared.
    Source: rliable, arXiv:2108.13264, section 4.3.
    """
    left, right = _paired(a, b)
    gaps = left[:, None, :] - right[None, :, :]  # (R, S, P)
    wins = np.where(np.isnan(gaps), np.nan, (gaps > 0) + 0.5 * (gaps == 0))
    return float(mean(mean(wins.reshape(-1, wins.shape[2]).T)))


def _draws(rng: np.random.Generator, size: int, n: int) -> NDArray[np.int64]:
    """(size, n): each row n draws with replacement out of n."""
    return rng.integers(n, size=(size, n))


def _drawn(table: Scores, runs: NDArray[np.int64], problems: NDArray[np.int64]) -> Scores:
    """(B, R·P): the entries of the table at each row's runs (B, R) and problems (B, P)."""
    return table[runs[:, :, None], problems[:, None, :]].reshape(len(runs), -1)


def _batches(resamples: int, entries: int) -> Iterator[int]:
    """Sizes that add up to the number of resamples, each small enough for memory."""
    size = max(1, _ENTRIES_AT_ONCE // max(1, entries))
    for begin in range(0, resamples, size):
        yield min(size, resamples - begin)


def _paired(a: ArrayLike, b: ArrayLike) -> tuple[Scores, Scores]:
    left, right = (np.atleast_2d(np.asarray(x, np.float64)) for x in (a, b))
    if left.shape[1] != right.shape[1]:
        raise BadOption(
            "both sides must be scored on the same problems; got"
            f" {left.shape[1]} problems and {right.shape[1]}"
        )
    return left, right


def _estimate(value: Scores, resampled: Scores, level: float) -> Estimate:
    """Draws without any score (NaN) say nothing and are left out of the interval."""
    known = resampled[~np.isnan(resampled)]
    if np.isnan(value) or not known.size:
        return Estimate(float(value), float("nan"), float("nan"))
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(float(value), float(low), float(high))
