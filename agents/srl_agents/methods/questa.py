"""QuestA: the beginning of the solution stands in the prompt as a hint, less of it later.

The prompt is that of the problem with the first p of the solution, p = 1/2 and then 1/4; the policy
writes the whole solution. Evaluations show no hint.
Source: arXiv:2507.13266 and its code, which cuts the solution's characters at ⌊p · length⌋ and
trains on p = 1/2, then on 1/4 from that model. Here steps are cut, ⌊p · N⌋ of N, and each p gets an
equal part of the budget.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from annotated_types import Len

from srl_agents.methods.prefix import PrefixSchedule, ProblemStats
from srl_agents.methods.rlvr import RLVR
from srl_agents.methods.stages import Fraction, Method, Starts


@dataclass(frozen=True, slots=True)
class Shares(PrefixSchedule):
    """Fractions of the solution, one after another, each for an equal part of the budget.

    shares: the fractions in order.
    """

    kind: str = "shares"
    shares: Annotated[tuple[Fraction, ...], Len(1)] = (0.5, 0.25)

    def fraction(
        self, progress: float, stats: ProblemStats, generator: np.random.Generator
    ) -> float:
        """The same for all problems: the share whose turn it is."""
        return self.shares[min(int(progress * len(self.shares)), len(self.shares) - 1)]

    def __str__(self) -> str:
        return f"with {', then '.join(f'{share:.0%}' for share in self.shares)} of the solution"


METHOD = Method(
    "questa",
    (replace(RLVR, starts=Starts(prefix=Shares(), place="hint")),),
    "QuestA, arXiv:2507.13266",
)
