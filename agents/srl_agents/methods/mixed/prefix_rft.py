"""Prefix-RFT: half of each group continues a prefix of the demonstration, and both learn.

    own tokens:     −min(ρ·A, clip(ρ)·A)    as in GRPO, A = r − mean(r)
    prefix tokens:  −A·log π                on the fifth of them with the highest entropy
    prefix:         end + (begin − end) · (1 + cos(π·progress)) / 2 of the expert's steps

A prefix is reinforced if its continuation is better than the group, and weakened if it is worse.
Source: arXiv:2507.01679, for the rows, the entropy filter, the advantage without std and the
cosine from 95 % to 5 %. Its code draws the fraction below the cosine; here it is the cosine. The
highest entropies are those of each completion. ``weight`` = 1/2 is four rows of eight.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from srl_agents.methods.prefix import PrefixSchedule, ProblemStats
from srl_agents.methods.rlvr import RLVR
from srl_agents.methods.stages import Fraction, Method, Starts
from srl_agents.objectives.mixed.objective import Mixed
from srl_agents.objectives.mixed.rows import GroupRows
from srl_agents.objectives.mixed.terms import LossTerm


@dataclass(frozen=True, slots=True)
class Cosine(PrefixSchedule):
    """A fraction that falls along half a cosine over the stage's budget, from begin to end."""

    kind: str = "cosine"
    begin: Fraction = 0.95
    end: Fraction = 0.05

    def fraction(
        self, progress: float, stats: ProblemStats, generator: np.random.Generator
    ) -> float:
        """The same for all problems."""
        return self.end + (self.begin - self.end) * (1 + math.cos(math.pi * progress)) / 2

    def __str__(self) -> str:
        return f"after {self.begin:.0%} of the solution, falling to {self.end:.0%}"


PREFIX_RFT = Mixed(
    scale="none",
    rows=GroupRows(continued=4),
    terms=(LossTerm(), LossTerm(rows="expert", ratio="none", top_entropy=0.2, weight=0.5)),
)

METHOD = Method(
    "prefix-rft",
    (replace(RLVR, objective=PREFIX_RFT, starts=Starts(prefix=Cosine())),),
    "Prefix-RFT, arXiv:2507.01679",
)
