"""Supervised fine-tuning."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from srl_agents.objectives.base import Objective, Scores
from srl_agents.objectives.choices import Aggregation
from srl_agents.objectives.requests import Collected, DemonstrationRequest, Source
from srl_env.rewards import Granularity

if TYPE_CHECKING:
    from torch import Tensor

    from srl_agents.objectives.batch import TrainingBatches


@dataclass(frozen=True, slots=True)
class NLL(Objective):
    """Likelihood of the expert's own completions: supervised fine-tuning.

    demonstration: "outline", the expert's actions without thinking, which most data has;
    "reasoning", with the expert's recorded thoughts.
    granularity: one demonstration per step, or one whole solution.
    aggregation: how tokens are averaged: "token" or "sequence".
    """

    kind: str = "nll"
    demonstration: Literal["outline", "reasoning"] = "outline"
    granularity: Granularity = "step"
    aggregation: Aggregation = "token"

    @property
    def needs_expert(self) -> bool:
        """It imitates the expert."""
        return True

    @property
    def needs_thoughts(self) -> bool:
        """Whether it imitates the thoughts too."""
        return self.demonstration == "reasoning"

    def collect(self, source: Source, refill: bool = True) -> Collected:
        """Demonstrations."""
        return source.demonstrate(self.request)

    @property
    def request(self) -> DemonstrationRequest:
        """The demonstrations it asks for."""
        thoughts = self.demonstration == "reasoning"
        return DemonstrationRequest(self.granularity, thoughts, self.aggregation)

    def training_batches(
        self, collected: Collected, batch: int, max_steps: int
    ) -> TrainingBatches | None:
        """All demonstrations, in one step."""
        from srl_agents.objectives.batch import TrainingBatches

        found = collected.demonstrations
        return None if found is None else TrainingBatches((found,))

    def loss_terms(self, scores: Scores) -> Iterator[Tensor]:
        """−log p of each token."""
        yield -scores.logprobs

    def start_problems(self, at: str) -> Iterator[str]:
        """Steps start at a prefix, solutions at the problem."""
        if self.granularity == "solution" and at == "prefix":
            yield "whole solutions start at the problem; set starts.at to 'problem'"
        if self.granularity == "step" and at == "problem":
            yield "a step is demonstrated after each expert prefix; set starts.at to 'prefix'"
        if self.aggregation == "constant":
            yield "objective.aggregation 'constant' is for grpo; choose 'token' or 'sequence'"

    def decoding(self) -> dict[str, Any]:
        """The granularity of training."""
        return {"granularity": self.granularity}

    def __str__(self) -> str:
        return "likelihood of the expert's steps"
