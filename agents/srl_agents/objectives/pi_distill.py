"""A policy that sees the solution and the policy that does not, on the same completions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Le

from srl_agents.objectives.base import Scores
from srl_agents.objectives.grpo import GRPO
from srl_agents.objectives.sampled import Sampled
from srl_agents.objectives.teacher import TeacherRequest

if TYPE_CHECKING:
    from torch import Tensor

    from srl_agents.objectives.batch import Batch


@dataclass(frozen=True, slots=True)
class PiDistill(GRPO):
    """J = α·J_T + (1 − α)·J_S on completions of π_T, the policy that sees the solution.

    Each completion is trained on twice: in the prompt with the solution (J_T, on-policy), and in
    the prompt without it (J_S, with the ratio π_S / sg π_T, clipped as in GRPO).
    alpha: α. teacher_kl: β, the coefficient of KL(π_T ‖ sg π_S) in J_T and of KL(sg π_T ‖ π_S) in
    J_S, estimated from the sampled tokens; above 0, every group is trained on. hint: the fraction
    of the solution that π_T sees. With α = 1, β = 0 and hint = 0 it is GRPO.
    Source: arXiv:2602.04942.
    """

    kind: str = "pi-distill"
    alpha: Annotated[float, Ge(0), Le(1)] = 0.5
    teacher_kl: Annotated[float, Ge(0)] = 0.25
    hint: Annotated[float, Ge(0), Le(1)] = 1.0

    @property
    def needs_expert(self) -> bool:
        """Whether the prompts show the solution, or the reward compares with it."""
        return self.hint > 0 or Sampled.needs_expert.__get__(self)

    @property
    def least_std(self) -> float:
        """The KL can be learned from any group."""
        return -1.0 if self.teacher_kl else self.min_std

    @property
    def reset_options(self) -> dict[str, Any]:
        """Episodes show the solution."""
        options: dict[str, Any] = Sampled.reset_options.__get__(self)
        return options | {"hint": self.hint} if self.hint else options

    @property
    def teacher_request(self) -> TeacherRequest | None:
        """The log-probs of each row's tokens in the prompt of its twin."""
        alone = self.alpha == 1 and not self.teacher_kl
        return None if alone else TeacherRequest("current")

    def with_teacher(self, batch: Batch, prompts: tuple[tuple[int, ...], ...]) -> Batch:
        """Each completion after the prompt that it was sampled in, and after the one without."""
        import torch

        count, seen = len(batch.prompts), batch.prompts
        twice = (self.alpha, seen, prompts, False), (1 - self.alpha, prompts, seen, True)
        rows = [each for each in twice if each[0]]
        unsampled = ((),) * count
        return replace(
            batch,
            prompts=tuple(prompt for _, own, _, _ in rows for prompt in own),
            completions=batch.completions * len(rows),
            advantages=batch.advantages.repeat(len(rows)),
            weights=torch.cat([weight * batch.weights for weight, _, _, _ in rows]),
            sampler_logprobs=tuple(
                each
                for *_, student in rows
                for each in (unsampled if student else batch.sampler_logprobs)
            ),
            teacher_prompts=tuple(prompt for _, _, other, _ in rows for prompt in other),
            given=tuple(
                len(ids) if student else 0 for *_, student in rows for ids in batch.completions
            ),
        )

    def loss_terms(self, scores: Scores) -> Iterator[Tensor]:
        """GRPO's, with the ratio to π_T in the rows of the student, and the KL."""
        if scores.teacher is None:
            yield from GRPO.loss_terms(self, scores)
            return
        import torch

        from srl_agents.objectives.divergence import divergence_estimate

        assert scores.expert is not None, "with_teacher says which rows were not sampled"
        logprobs, other, student = scores.logprobs, scores.teacher, scores.expert
        before = logprobs.detach() if scores.old is None else scores.old
        old = torch.where(student, other, before)
        sampled = None if scores.sampled is None else torch.where(student, old, scores.sampled)
        yield from GRPO.loss_terms(self, replace(scores, old=old, sampled=sampled))
        if self.teacher_kl:
            to_student = divergence_estimate(logprobs, other, "reverse")
            yield self.teacher_kl * torch.where(student, other - logprobs, to_student)

    def __str__(self) -> str:
        return f"pi-distill on reward `{self.reward_mode}`"
