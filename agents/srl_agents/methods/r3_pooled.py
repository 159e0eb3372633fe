"""R3, pooled: starts at all cuts of the expert's solution, mixed during the whole stage.

Source: arXiv:2402.05808. The data in its code are mixed in this way ("mix"): the starts of all
stages are shuffled together.
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
class Pooled(PrefixSchedule):
    """Cuts of the expert's solution in random order.

    cuts: M. A start is given j/M of the expert's steps, j drawn evenly from 0 … M − 1.
    """

    kind: str = "pooled"
    cuts: Annotated[int, Ge(1)] = 6

    def fraction(
        self, progress: float, stats: ProblemStats, generator: np.random.Generator
    ) -> float:
        """One of 0, 1/M … (M − 1)/M."""
        return int(generator.integers(self.cuts)) / self.cuts

    def __str__(self) -> str:
        return f"at {self.cuts} cuts of the solution, in random order"


METHOD = Method(
    "r3-pooled", (replace(RLVR, starts=Starts(prefix=Pooled())),), "R3, arXiv:2402.05808"
)
