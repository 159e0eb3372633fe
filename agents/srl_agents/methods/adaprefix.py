"""AdaPrefix: how much of the solution is given is controlled to a success of 50 %, then withdrawn.

    ρ ← clip(ρ + η · (p* − p̂), 0, 1)        given: w · ρ of the expert's steps

p̂ is the success of the group that was just sampled, p* the target, and ρ the problem's own. w is 1
until ``withdraw_from`` of the budget, and falls linearly to 0 at ``withdraw_to``.
Source: arXiv:2607.07674, of which only the abstract could be read. It states a controller for each
problem, the target of 50 % and the withdrawal. The rule, η and the two times are ours. The paper
calibrates where a problem begins; here all begin at ``initial``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from annotated_types import Gt, Le

from srl_agents.methods.prefix import PrefixSchedule, ProblemStats
from srl_agents.methods.rlvr import RLVR
from srl_agents.methods.stages import Fraction, Method, Starts
from srl_env.errors import BadOption


@dataclass(frozen=True, slots=True)
class Controlled(PrefixSchedule):
    """A fraction ρ for each problem that follows its success; see the module for the formula.

    target: p*. gain: η. initial: ρ before a problem was sampled. withdraw_from, withdraw_to: the
    fractions of the stage's budget between which the help is withdrawn.
    """

    kind: str = "controlled"
    target: Fraction = 0.5
    gain: Annotated[float, Gt(0), Le(2)] = 0.2
    initial: Fraction = 0.5
    withdraw_from: Fraction = 0.5
    withdraw_to: Fraction = 0.8

    def __post_init__(self) -> None:
        PrefixSchedule.__post_init__(self)
        if self.withdraw_from > self.withdraw_to:
            raise BadOption(
                "withdraw_from must be at most withdraw_to; got"
                f" {self.withdraw_from:g} and {self.withdraw_to:g}"
            )

    def fraction(
        self, progress: float, stats: ProblemStats, generator: np.random.Generator
    ) -> float:
        """w · ρ."""
        if progress >= self.withdraw_to:
            return 0.0
        falling = max(0.0, progress - self.withdraw_from)
        return self._held(stats) * (1 - falling / ((self.withdraw_to - self.withdraw_from) or 1.0))

    def moved(self, stats: ProblemStats, fraction: float, success: float) -> ProblemStats:
        """More is given below the target, less above; lo = hi = ρ."""
        held = self._held(stats) + self.gain * (self.target - success)
        held = min(1.0, max(0.0, held))
        return replace(stats, lo=held, hi=held)

    def _held(self, stats: ProblemStats) -> float:
        return stats.hi if stats.lo == stats.hi else self.initial  # lo < hi: not sampled yet

    def __str__(self) -> str:
        return f"after as much of the solution as gives a success of {self.target:.0%}"


METHOD = Method(
    "adaprefix", (replace(RLVR, starts=Starts(prefix=Controlled())),), "arXiv:2607.07674"
)
