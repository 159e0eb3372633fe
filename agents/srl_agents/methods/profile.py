"""Profiles: start points are sampled first, and only those that can teach something are kept."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le

from srl_agents.checked import Checked


@dataclass(frozen=True, slots=True)
class Profile(Checked):
    """Which start points are kept after a group was sampled from each.

    candidates: start points that are sampled for one profile. below: τ, which the mean reward of a
    kept one is below. renew: a new profile is made when less than this fraction of them would be
    kept now, by the rewards of their last groups.
    """

    candidates: Annotated[int, Ge(1)] = 256
    below: float = 0.6
    renew: Annotated[float, Ge(0), Le(1)] = 0.5

    def keeps(self, rewards: Sequence[float], informative: bool) -> bool:
        """σ̂² > 0, which ``informative`` says, and μ̂ < τ."""
        return informative and statistics.fmean(rewards) < self.below

    def due(self, kept: Collection[bool]) -> bool:
        """Whether too few are left. kept: of each, whether it would be kept now."""
        return not kept or sum(kept) < self.renew * len(kept)
