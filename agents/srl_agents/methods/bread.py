"""BREAD: from the problem; where all fail, after the shortest prefix that has some success.

Episodes start at the problem. If a group has no success, the cuts j/M of the expert's solution are
searched by halving, in the same update, with a whole group for each:

    [lo, hi] = [0, 1];  ρ = the cut in the middle;  p̂ < low: lo = ρ;  p̂ > high: hi = ρ

until low ≤ p̂ ≤ high or no cut is left. Each group with two outcomes is trained on, and its ratios
are those of the tokens after the prefix. At the next visit the problem is tried alone again.
Source: arXiv:2506.17211. Its abstract states the short prefixes after failures. Halving over 10
cuts and the band are from notes on the paper; the values of the band are ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from annotated_types import Ge

from srl_agents.methods.prefix import PrefixSchedule, ProblemStats
from srl_agents.methods.rlvr import RLVR
from srl_agents.methods.stages import Fraction, Method, Starts
from srl_env.errors import BadOption

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Rescue(PrefixSchedule):
    """Nothing at first; after a failure, a search for the shortest prefix with some success.

    cuts: M; a solution of fewer steps has a cut before each. low, high: the band of success.
    """

    kind: str = "rescue"
    cuts: Annotated[int, Ge(1)] = 10
    low: Fraction = 0.2
    high: Fraction = 0.8

    def __post_init__(self) -> None:
        PrefixSchedule.__post_init__(self)
        if self.low > self.high:
            raise BadOption(f"low must be at most high; got {self.low:g} and {self.high:g}")

    def fraction(
        self, progress: float, stats: ProblemStats, generator: np.random.Generator
    ) -> float:
        """Nothing."""
        return 0.0

    def moved(self, stats: ProblemStats, fraction: float, success: float) -> ProblemStats:
        """The half of the cuts that is left, or lo = hi at the end of the search."""
        if fraction == 0:
            return replace(stats, lo=0.0, hi=0.0 if success else 1.0)
        if success < self.low:
            return replace(stats, lo=fraction)
        return replace(stats, hi=fraction, lo=stats.lo if success > self.high else fraction)

    def again(self, stats: ProblemStats, steps: int) -> float | None:
        """The cut in the middle of those that are left."""
        cuts = min(self.cuts, steps)
        middle = math.floor((stats.lo + stats.hi) / 2 * cuts + _ROUNDING)
        return middle / cuts if middle > stats.lo * cuts + _ROUNDING else None

    def __str__(self) -> str:
        return "at the problem, and where all fail, after the shortest prefix with some success"


METHOD = Method("bread", (replace(RLVR, starts=Starts(prefix=Rescue())),), "arXiv:2506.17211")
