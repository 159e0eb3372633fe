"""AdaBack: how much of the solution is given adapts to each problem.

Source: arXiv:2506.18110. The paper searches for the fraction by a random binary search on the mean
reward, and gives ⌊ρ·m⌋ of m tokens; here steps are given, and the verifier's bit takes the place of
the reward. The values of ``threshold`` and ``unaided`` are ours, and so is ``reopen``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from annotated_types import Gt, Le

from srl_agents.methods.prefix import PrefixSchedule, ProblemStats
from srl_agents.methods.rlvr import RLVR
from srl_agents.methods.stages import Fraction, Method, Starts


@dataclass(frozen=True, slots=True)
class Interval(PrefixSchedule):
    """A fraction ρ drawn evenly from each problem's own interval [lo, hi], at first [0, 1].

    threshold: if at least this fraction of a problem's episodes is correct, hi = ρ and lo = 0.
    Otherwise lo = ρ.
    unaided: the chance that a start is given nothing. If it then fails, the interval stays, unless
    it is [0, 0].
    reopen: a failure also sets hi = 1. Otherwise one lucky success traps the interval below it.
    """

    kind: str = "interval"
    threshold: Annotated[float, Gt(0), Le(1)] = 0.5
    unaided: Fraction = 0.1
    reopen: bool = True

    def fraction(
        self, progress: float, stats: ProblemStats, generator: np.random.Generator
    ) -> float:
        """ρ, from the problem's interval; or 0."""
        if generator.random() < self.unaided:
            return 0.0
        return float(generator.uniform(stats.lo, stats.hi))

    def moved(self, stats: ProblemStats, fraction: float, success: float) -> ProblemStats:
        """Less is given after a success, more after a failure."""
        if success >= self.threshold:
            return replace(stats, lo=0.0, hi=fraction)
        if fraction == 0 < stats.hi:
            return stats
        return replace(stats, lo=fraction, hi=1.0 if self.reopen else max(stats.hi, fraction))

    def __str__(self) -> str:
        return "after as much of the solution as the problem needs"


METHOD = Method(
    "adaback", (replace(RLVR, starts=Starts(prefix=Interval())),), "AdaBack, arXiv:2506.18110"
)
