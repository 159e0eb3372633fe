"""A batch with its log-probs under other weights, and what the loss of a micro-batch sees of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from srl_agents.nn.score import TokenScores
from srl_agents.objectives.base import Scores
from srl_agents.objectives.batch import Batch
from srl_agents.objectives.loss import kl_estimate
from srl_agents.training.packing import MicroBatch


@dataclass(frozen=True, slots=True)
class ScoredBatch:
    """A batch, and its log-probs (B, T) under other weights if the loss needs them.

    old: before this update's first step. reference: the run's first weights. teacher: the
    teacher's, in its prompts.
    """

    batch: Batch
    old: Tensor | None = None
    reference: Tensor | None = None
    teacher: Tensor | None = None

    def scores(self, micro: MicroBatch, found: TokenScores) -> Scores:
        """What the loss terms of a micro-batch are made from."""
        logprobs = found.logprobs
        rows, width, device = list(micro.rows), logprobs.shape[1], logprobs.device
        old = None if self.old is None else self.old[rows, :width]
        sampled = expert = None
        if self.batch.given:
            given = torch.tensor([self.batch.given[row] for row in rows], device=device)
            expert = found.mask & (torch.arange(width, device=device) < given.unsqueeze(1))
        if self.batch.sampler_logprobs:
            values = [self.batch.sampler_logprobs[row] for row in rows]
            padded = [[*row, *[0.0] * (width - len(row))] for row in values]
            sampled = torch.tensor(padded, device=device)
            if expert is not None:
                sampled = torch.where(expert, logprobs.detach() if old is None else old, sampled)
        teacher = None if self.teacher is None else self.teacher[rows, :width]
        if teacher is not None:  # where its server failed, it has no opinion
            teacher = torch.where(teacher.isnan(), logprobs.detach(), teacher)
        return Scores(
            logprobs,
            found.mask,
            self.batch.advantages[rows].to(device, logprobs.dtype),
            old,
            sampled,
            None if self.reference is None else self.reference[rows, :width],
            teacher,
            found.divergence,
            expert,
            found.entropy,
        )


def differences(scores: Scores) -> dict[str, Tensor]:
    """How far the log-probs are from the sampler's and from the run's first weights, (B, T)."""
    logprobs, found = scores.logprobs.detach(), dict[str, Tensor]()
    if scores.sampled is not None:
        trained = logprobs if scores.old is None else scores.old
        found["sampler_gap"] = (trained - scores.sampled).abs()
    if scores.reference is not None:
        found["kl_to_start"] = kl_estimate(logprobs, scores.reference)
        if scores.expert is not None:
            found["kl_to_start"] = found["kl_to_start"].where(~scores.expert, 0.0)
    return found
