"""GSPO: ratios of whole completions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Le

from srl_agents.objectives.base import Scores
from srl_agents.objectives.grpo import GRPO

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class GSPO(GRPO):
    """GRPO with one ratio for each completion, so that its tokens are clipped together.

    With s = (π(y)/π_old(y))^(1/|y|), each token's term is −min(s·A, clip(s)·A). In an episode of
    several steps each completion has its own ratio; the paper has single completions.

    Source: arXiv:2507.18071, eq. 5 and 7, section 5.1.

    clip_low, clip_high: s is clipped to 1 − clip_low … 1 + clip_high. It moves far less than the
    ratio of a token.
    """

    kind: str = "gspo"
    clip_low: Annotated[float, Ge(0), Le(1)] = 3e-4
    clip_high: Annotated[float, Ge(0)] = 4e-4

    def compared(self, scores: Scores) -> tuple[Tensor, Tensor | None]:
        """The mean log-probs of each completion."""
        from srl_agents.objectives.loss import sequence_means

        old = None if scores.old is None else sequence_means(scores.old, scores.mask)
        return sequence_means(scores.logprobs, scores.mask), old
