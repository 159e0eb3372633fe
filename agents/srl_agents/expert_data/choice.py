"""Which accepted solutions of a problem are kept."""

from __future__ import annotations

from collections.abc import Sequence

from srl_env.problem import ExpertTrajectory
from srl_env.rewards import step_similarity


def without_duplicates(solutions: Sequence[ExpertTrajectory]) -> list[ExpertTrajectory]:
    """The first of those whose actions are the same apart from white space, in order."""
    first: dict[tuple[str, ...], ExpertTrajectory] = {}
    for solution in solutions:
        first.setdefault(tuple(" ".join(action.split()) for action in solution.actions), solution)
    return list(first.values())


def shortest(solutions: Sequence[ExpertTrajectory], count: int) -> list[ExpertTrajectory]:
    """Those whose actions have the fewest characters; of equal ones the first."""
    return sorted(solutions, key=lambda one: sum(map(len, one.actions)))[:count]


def diverse(solutions: Sequence[ExpertTrajectory], count: int) -> list[ExpertTrajectory]:
    """The shortest, then again and again the one least similar to those that are chosen.

    Two solutions are as similar as their texts (``srl_env.rewards.step_similarity``).
    """
    left = shortest(solutions, len(solutions))
    chosen, nearest = left[:1], dict[int, float]()
    left = left[1:]
    while left and len(chosen) < count:
        for one in left:
            similarity = step_similarity("\n".join(one.actions), "\n".join(chosen[-1].actions))
            nearest[id(one)] = max(nearest.get(id(one), 0.0), similarity)
        best = min(left, key=lambda one: nearest[id(one)])
        chosen.append(best)
        left.remove(best)
    return chosen


CHOICES = {"shortest": shortest, "diverse": diverse}
"""The choice of each ``keep``."""
