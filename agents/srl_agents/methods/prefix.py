"""How many expert steps a start is given, and what sampling has shown of each problem.

A schedule is a frozen dataclass; its fields are its settings under ``starts.prefix`` in TOML. It
decides on the fraction of the expert's solution that is given. A new one is one file, with the
method that uses it; or name your own as ``starts.prefix.kind = "my_module:MySchedule"``.
"""

from __future__ import annotations

import math
import statistics
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from srl_agents.checked import Checked

_ROUNDING = 1e-9  # so that 3 of 49 is not 2.999…


@dataclass(frozen=True, slots=True)
class ProblemStats:
    """What sampling has shown of one problem.

    tries: its episodes with a verdict. successes: those that the verifier found correct. std: the
    population std of the rewards when it was last sampled. lo, hi: the problem's own interval of
    fractions; a schedule moves it.
    """

    tries: int = 0
    successes: int = 0
    std: float = 0.0
    lo: float = 0.0
    hi: float = 1.0

    def counting(self, rewards: Sequence[float], correct: Sequence[bool]) -> ProblemStats:
        """With further episodes. correct: the verdict of each that has one."""
        return replace(
            self,
            tries=self.tries + len(correct),
            successes=self.successes + sum(correct),
            std=statistics.pstdev(rewards) if rewards else self.std,
        )


class PrefixSchedule(Checked, ABC):
    """How much of the expert's solution a start is given. Subclasses redeclare what can be set.

    kind: the name in a configuration.
    """

    __slots__ = ()
    kind: str

    @abstractmethod
    def fraction(
        self, progress: float, stats: ProblemStats, generator: np.random.Generator
    ) -> float:
        """The fraction of the expert's steps to give, 0 … 1.

        progress: the fraction of the stage's budget that is used. stats: of the start's problem.
        generator: of this start alone, so that a resumed run draws the same.
        """

    def moved(self, stats: ProblemStats, fraction: float, success: float) -> ProblemStats:
        """The statistics with the problem's new interval; by default it stays.

        fraction: what was given. success: the fraction of episodes that the verifier found correct.
        A reward of 0 can have other reasons, so it never decides.
        """
        return stats

    def again(self, stats: ProblemStats, steps: int) -> float | None:
        """What to give in another try of the same update; None for no other.

        stats: of the problem, after ``moved``. steps: N, of the expert.
        """
        return None

    @abstractmethod
    def __str__(self) -> str:
        """Where episodes start, after the word "starts"."""


def given_steps(fraction: float, steps: int) -> int:
    """k = ⌊fraction · N⌋ of the expert's N steps, at most N − 1, so that one is left to do."""
    return max(0, min(math.floor(fraction * steps + _ROUNDING), steps - 1))
