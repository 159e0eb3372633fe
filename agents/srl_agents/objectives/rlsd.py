"""GRPO whose credit is divided among tokens by a teacher that sees the solution."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Self

from annotated_types import Ge, Gt, Le

from srl_agents.objectives.base import Scores
from srl_agents.objectives.grpo import GRPO
from srl_agents.objectives.teacher import TeacherRequest

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class RLSD(GRPO):
    """Advantages Â = A·((1 − λ) + λ·w), with w from the policy that sees the solution.

    With Δ = sg(log P_T − log P_S) of a sampled token, w = clip(exp(sign(A)·Δ), 1 − ε, 1 + ε). The
    verifier alone decides the direction; the teacher only decides how much a token counts.
    evidence: λ at the beginning; with 0 it is GRPO. anneal: the fraction of the stage's budget over
    which λ falls to 0. evidence_clip: ε. hint: the fraction of the solution that the teacher sees.
    Source: arXiv:2604.03128.
    """

    kind: str = "rlsd"
    evidence: Annotated[float, Ge(0), Le(1)] = 0.5
    anneal: Annotated[float, Gt(0), Le(1)] = 0.5
    evidence_clip: Annotated[float, Gt(0), Le(1)] = 0.2
    hint: Annotated[float, Gt(0), Le(1)] = 1.0

    @property
    def teacher_request(self) -> TeacherRequest | None:
        """The log-probs of the sampled tokens, by the weights before the update."""
        return TeacherRequest("current", self.hint) if self.evidence else None

    def at(self, progress: float) -> Self:
        """With λ as it is then."""
        left = max(0.0, 1 - progress / self.anneal)
        return replace(self, evidence=self.evidence * left)

    def loss_terms(self, scores: Scores) -> Iterator[Tensor]:
        """GRPO's, with an advantage for each token."""
        if not self.evidence:
            return GRPO.loss_terms(self, scores)
        from srl_agents.objectives.divergence import evidence_weights

        assert scores.teacher is not None, "teacher_request asks for it"
        student = scores.logprobs if scores.old is None else scores.old
        advantages = scores.advantages.unsqueeze(1)
        weights = evidence_weights(student, scores.teacher, advantages.sign(), self.evidence_clip)
        advantages = advantages * (1 - self.evidence + self.evidence * weights)
        return GRPO.loss_terms(self, replace(scores, advantages=advantages))

    def __str__(self) -> str:
        return f"RLSD on reward `{self.reward_mode}`"
