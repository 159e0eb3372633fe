"""Distillation from a teacher on the policy's completions, alone or beside a policy gradient."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Gt, Le, Lt

from srl_agents.objectives.base import Scores
from srl_agents.objectives.choices import Divergence
from srl_agents.objectives.grpo import GRPO
from srl_agents.objectives.teacher import TeacherRequest, is_server

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Distillation(GRPO):
    """(1 − w)·(loss of GRPO) + w·D(teacher, policy), token by token.

    weight: w. With 0 it is GRPO. Otherwise every group is trained on, also without a spread of
    rewards.
    teacher: whose weights score: "current", the trained ones, without gradient; "start", the run's
    first; else a model's folder or hub name, or the address of a vLLM server. None must be set.
    hint: the fraction of the expert's solution that the teacher's prompts show. A problem without
    an expert shows none.
    divergence: "forward" KL(teacher ‖ policy), "reverse" KL(policy ‖ teacher), or "jsd". mixture:
    of "jsd", the teacher's weight in the mixture, β.
    full_vocabulary: sum over the vocabulary. False estimates from the sampled tokens, which is all
    that a server can give. divergence_clip: the most that one entry of the vocabulary, or one
    sampled token, adds; None for no limit.
    """

    kind: str = "distillation"
    weight: Annotated[float, Ge(0), Le(1)] = 1.0
    teacher: str | None = "current"
    hint: Annotated[float, Ge(0), Le(1)] = 1.0
    divergence: Divergence = "forward"
    mixture: Annotated[float, Gt(0), Lt(1)] = 0.5
    full_vocabulary: bool = True
    divergence_clip: Annotated[float | None, Gt(0)] = None

    @property
    def needs_teacher(self) -> bool:
        """Whether a teacher must be named, and none is."""
        return self.weight > 0 and self.teacher is None

    @property
    def least_std(self) -> float:
        """A teacher can teach from any group."""
        return -1.0 if self.weight else self.min_std

    @property
    def teacher_request(self) -> TeacherRequest | None:
        """The teacher's distributions, or its log-probs of the sampled tokens."""
        from srl_agents.objectives.divergence import divergence

        if not self.weight or self.teacher is None:
            return None
        measure = None
        if self.full_vocabulary:
            measure = partial(
                divergence, kind=self.divergence, beta=self.mixture, clip=self.divergence_clip
            )
        return TeacherRequest(self.teacher, self.hint, measure)

    def loss_terms(self, scores: Scores) -> Iterator[Tensor]:
        """GRPO's terms and the divergence; what has no weight is not computed."""
        if self.weight < 1:
            for term in GRPO.loss_terms(self, scores):
                yield term * (1 - self.weight) if self.weight else term
        if self.weight:
            yield self.weight * self._divergence(scores)

    def _divergence(self, scores: Scores) -> Tensor:
        from srl_agents.objectives.divergence import divergence_estimate

        if scores.divergence is not None:
            return scores.divergence
        assert scores.teacher is not None, "teacher_request asks for it"
        return divergence_estimate(
            scores.logprobs, scores.teacher, self.divergence, self.divergence_clip
        )

    def numbers(self, scores: Scores) -> dict[str, Tensor]:
        """GRPO's, and the divergence from the teacher."""
        found = GRPO.numbers(self, scores)
        if self.weight:
            found["divergence"] = self._divergence(scores).detach().where(scores.mask, 0.0).sum()
        return found

    def start_problems(self, at: str) -> Iterator[str]:
        """What a teacher cannot do."""
        yield from GRPO.start_problems(self, at)
        if self.weight and self.teacher is not None and is_server(self.teacher):
            if self.full_vocabulary:
                yield "a server gives log-probs of tokens; set objective.full_vocabulary to false"
            if self.temperature != 1:
                yield "a server scores at temperature 1; set objective.temperature to 1"
        if self.weight and self.divergence == "jsd" and not self.full_vocabulary:
            yield "objective.divergence 'jsd' is not estimated; choose 'forward' or 'reverse'"

    def __str__(self) -> str:
        return f"{self.divergence} divergence from a teacher, weight {self.weight:g}"
