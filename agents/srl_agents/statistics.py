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

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from srl_env.errors import BadOption

Scores = NDArray[np.float64]
Statistic = Callable[[Scores], float]


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


def mean(scores: Scores) -> float:
    """The mean of all entries that are not NaN; NaN if none is left."""
    kept = scores[~np.isnan(scores)]
    return float(kept.mean()) if kept.size else float("nan")


def interquartile_mean(scores: Scores) -> float:
    """The mean of the middle half of all entries: a quarter is cut at each end, rounded down.

    Robust against single runs that collapse or excel; NaN if there is no entry.
    Source: rliable, arXiv:2108.13264, section 4.3.
    """
    kept = np.sort(scores[~np.isnan(scores)], axis=None)
    cut = kept.size // 4
    return mean(kept[cut : kept.size - cut])


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
    values = [statistic(_resampled(table, rng)) for _ in range(resamples)]
    return _estimate(statistic(table), values, level)


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
    values = []
    for _ in range(resamples):
        problems = rng.integers(left.shape[1], size=left.shape[1])
        drawn = (_runs(left, rng)[:, problems], _runs(right, rng)[:, problems])
        values.append(statistic(drawn[0]) - statistic(drawn[1]))
    return _estimate(statistic(left) - statistic(right), values, level)


def probability_of_improvement(a: ArrayLike, b: ArrayLike) -> float:
    """How likely a run of a scores above a run of b on a problem drawn at random.

    a: (R, P) and b: (S, P). Per problem the Mann–Whitney U / (R·S), ties counting a half, then
    the mean over problems; 0.5 is no difference, NaN if nothing can be compared.
    Source: rliable, arXiv:2108.13264, section 4.3.
    """
    left, right = _paired(a, b)
    gaps = left[:, None, :] - right[None, :, :]  # (R, S, P)
    wins = np.where(np.isnan(gaps), np.nan, (gaps > 0) + 0.5 * (gaps == 0))
    return mean(np.array([mean(wins[:, :, j]) for j in range(wins.shape[2])]))


def _resampled(table: Scores, rng: np.random.Generator) -> Scores:
    """The table with its runs and its problems drawn anew, with replacement."""
    return _runs(table, rng)[:, rng.integers(table.shape[1], size=table.shape[1])]


def _runs(table: Scores, rng: np.random.Generator) -> Scores:
    return table[rng.integers(len(table), size=len(table))]


def _paired(a: ArrayLike, b: ArrayLike) -> tuple[Scores, Scores]:
    left, right = (np.atleast_2d(np.asarray(x, np.float64)) for x in (a, b))
    if left.shape[1] != right.shape[1]:
        raise BadOption(
            "both sides must be scored on the same problems; got"
            f" {left.shape[1]} problems and {right.shape[1]}"
        )
    return left, right


def _estimate(value: float, resampled: list[float], level: float) -> Estimate:
    """Draws without any score (all NaN) say nothing and are left out of the interval."""
    known = np.array([v for v in resampled if not np.isnan(v)])
    if np.isnan(value) or not known.size:
        return Estimate(value, float("nan"), float("nan"))
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(value, float(low), float(high))
