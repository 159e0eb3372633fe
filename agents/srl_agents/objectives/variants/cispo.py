"""CISPO: the ratio as a clipped weight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Le

from srl_agents.objectives.base import Scores
from srl_agents.objectives.choices import Aggregation
from srl_agents.objectives.grpo import GRPO

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class CISPO(GRPO):
    """GRPO in which every token keeps its gradient: −sg(clip(ρ))·A·log π, the mean over tokens.

    Source: arXiv:2506.13585, eq. 4 and 5.

    clip_low, clip_high: the weight ρ = π/π_old is clipped to 1 − clip_low … 1 + clip_high. The
    paper sets no lower bound, as here; the upper one of 5 is ours.
    """

    kind: str = "cispo"
    clip_low: Annotated[float, Ge(0), Le(1)] = 1.0
    clip_high: Annotated[float, Ge(0)] = 4.0
    aggregation: Aggregation = "token"

    def policy_term(self, scores: Scores) -> Tensor:
        """The weighted likelihood."""
        from srl_agents.objectives.loss import weighted_likelihood

        return weighted_likelihood(
            scores.logprobs, scores.advantages, scores.old, self.clip_low, self.clip_high
        )
