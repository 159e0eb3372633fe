"""How often intervals of comparisons hold, in simulations with a truth that is known.

    python benchmarks/intervals.py

Scores are the sum of effects of problems, base models (another one for each method) and seeds, all
normal. All methods are equally good, so every difference is 0 and every mean is 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from srl_agents.evaluation.statistics import Scores, all_differences, estimate

COMPARISONS, RESAMPLES, PROBLEMS = 1000, 500, 64


def tables(rng: np.random.Generator, bases: int, seeds: int, base_std: float) -> list[Scores]:
    """One method's scores on each base, (seeds, problems), without the effects of problems."""
    return [
        effect + rng.normal(0, 0.3, (seeds, 1)) + np.zeros(PROBLEMS)
        for effect in rng.normal(0, base_std, bases)
    ]


def coverage(bases: int, seeds: int, base_std: float, levels: int) -> float:
    """The share of intervals of a mean that hold the truth, resampled in one or two levels."""
    rng, held = np.random.default_rng(1), 0
    for _ in range(COMPARISONS):
        problems = rng.normal(0, 0.3, PROBLEMS)
        found = [problems + table for table in tables(rng, bases, seeds, base_std)]
        given: list[Scores] = found if levels == 2 else [np.concatenate(found)]
        interval = estimate(given, rng=rng, resamples=RESAMPLES)
        held += interval.low <= 0 <= interval.high
    return held / COMPARISONS


def mistakes(methods: int, bases: int, seeds: int, base_std: float) -> float:
    """The share of comparisons of equal methods in which any pair's interval excludes 0."""
    rng, wrong = np.random.default_rng(1), 0
    for _ in range(COMPARISONS):
        problems = rng.normal(0, 0.3, PROBLEMS)
        scores: dict[str, Sequence[Scores]] = {
            str(method): [problems + table for table in tables(rng, bases, seeds, base_std)]
            for method in range(methods)
        }
        found = all_differences(scores, rng=rng, resamples=RESAMPLES)
        wrong += any(gap.low > 0 or gap.high < 0 for gap in found.values())
    return wrong / COMPARISONS


def main() -> None:
    """Prints the two tables of the page Evaluation."""
    for seeds in (3, 5, 10):
        print(f"covered, 1 base x {seeds} seeds: {coverage(1, seeds, 0.0, 1):.3f}")
    for levels in (2, 1):
        print(f"covered, 4 bases x 5 seeds, {levels} level(s): {coverage(4, 5, 0.5, levels):.3f}")
    for methods, bases, seeds in ((4, 1, 3), (4, 1, 5), (4, 1, 10), (8, 1, 5), (4, 4, 3)):
        share = mistakes(methods, bases, seeds, 0.5 if bases > 1 else 0.0)
        print(f"wrong, {methods} methods, {bases} base(s) x {seeds} seeds: {share:.3f}")


if __name__ == "__main__":
    main()
