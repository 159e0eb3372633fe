"""R3, staged: starts move from the end of the expert's solution to its beginning.

Source: arXiv:2402.05808, reverse curriculum reinforcement learning. The paper uses 5 or 6 cuts and
PPO with a KL coefficient of 0.05, on a model that was fine-tuned first. Here GRPO updates the
policy, and the budget is divided evenly among the cuts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from annotated_types import Ge

from srl_agents.methods.prefix import PrefixSchedule, ProblemStats
from srl_agents.methods.rlvr import RLVR
from srl_agents.methods.stages import Method, Starts


@dataclass(frozen=True, slots=True)
class Staged(PrefixSchedule):
    """Cuts of the expert's solution, one after another from the last to the first.

    cuts: M. A start is given j/M of the expert's steps, with j = M − 1 in the first M-th of the
    stage's budget and j = 0, the problem itself, in the last.
    """

    kind: str = "staged"
    cuts: Annotated[int, Ge(1)] = 6

    def fraction(
        self, progress: float, stats: ProblemStats, generator: np.random.Generator
    ) -> float:
        """The same for all problems: j / M."""
        done = min(int(progress * self.cuts), self.cuts - 1)
        return (self.cuts - 1 - done) / self.cuts

    def __str__(self) -> str:
        return f"at {self.cuts} cuts of the solution, from its end to its beginning"


METHOD = Method(
    "r3", (replace(RLVR, starts=Starts(prefix=Staged())),), "R3 in stages, arXiv:2402.05808"
)
