"""One update: a batch in, changed weights and a few numbers out.

The learner owns the optimiser. What the loss is made of is in ``srl_agents.objectives.loss``; here
it is only added up, micro-batch by micro-batch, and stepped on.

Where several processes train, each has the whole batch, weights in the loss included, and computes
its part of the micro-batches; the sum of all gradients is that of one process. Copies of a model
(DDP) add up their gradients once a step, after the last micro-batch, as DistributedDataParallel
does where gradients are gathered over several backward passes; sharded weights (FSDP) are put
together, and their gradients added up, layer by layer in each of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from srl_agents.methods.stages import GRPO, NLL
from srl_agents.nn.score import Decoder, make_decoder
from srl_agents.objectives.groups import Batch
from srl_agents.objectives.loss import (
    aggregate,
    clipped_surrogate,
    entropy_bonus,
    kl_estimate,
    negative_log_likelihood,
    sampler_correction,
)
from srl_agents.parallel.sharding import is_sharded, whole
from srl_agents.parallel.team import ALONE, Team
from srl_agents.policies.trained import Reference
from srl_agents.runs.config import OptimizerConfig
from srl_agents.training.packing import MicroBatch, even_tokens, micro_batches, my_part
from srl_env.errors import SrlEnvError

Numbers = dict[str, float]

_LEAST_STEP = 2.0**-6  # an update is not cut any further


class TrainingDiverged(SrlEnvError, RuntimeError):
    """The loss, its gradient or the weights it led to are no numbers any more."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A batch, and its log-probs (B, T) under other weights where the loss needs them.

    old: before this update's first step. reference: the run's first weights.
    """

    batch: Batch
    old: Tensor | None = None
    reference: Tensor | None = None


class Learner:
    """Changes a model's trainable weights by batches of completions."""

    def __init__(
        self,
        model: nn.Module,
        settings: OptimizerConfig,
        *,
        autocast: bool = False,
        decoder: Decoder | None = None,
        reference: Reference | None = None,
        team: Team = ALONE,
    ) -> None:
        """model: its parameters with ``requires_grad`` are trained.

        autocast: matrix products in bfloat16. decoder: the model's, made here if not given.
        reference: that of the run's first weights, where a KL is asked for. team: the processes
        that train the model together, all of which make the same updates.
        """
        self.settings, self.autocast, self.team = settings, autocast, team
        self.sharded = is_sharded(model)
        self.decoder = decoder or make_decoder(model)
        self.reference = reference
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = self.fresh_optimizer()

    def fresh_optimizer(self, betas: tuple[float, float] | None = None) -> torch.optim.Optimizer:
        """A new AdamW; weight decay on matrices only. betas: in place of the settings'."""
        decay = self.settings.weight_decay
        return torch.optim.AdamW(
            [
                {"params": [p for p in self.parameters if p.ndim > 1], "weight_decay": decay},
                {"params": [p for p in self.parameters if p.ndim < 2], "weight_decay": 0.0},
            ],
            lr=0.0,
            betas=betas or self.settings.betas,
            eps=self.settings.eps,
            fused=True,
        )

    def update(
        self,
        batches: Sequence[Batch],
        objective: GRPO | NLL,
        lr: float,
        measure_kl: bool = False,
        agreed: Batch | None = None,
        share: float = 1.0,
    ) -> Numbers:
        """One optimiser step on each batch, as often over as the objective says.

        measure_kl: report the KL to the run's first weights even if the loss does not need it.
        agreed: the completions of which ``objective.max_drop`` speaks, None where it is not set.
        share: what part of a whole step each of them counts as; see ``partial_step``.
        Returns means over tokens and steps: loss, grad_norm (before clipping), lr (times the
        share), and entropy, kl_to_start, clipped_fraction, sampler_gap (nats between sampler and
        trainer), step_fraction (1 where the update was not cut) where they were at hand.
        Raises TrainingDiverged.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        if isinstance(objective, NLL):
            steps = [self._step(_Part(batch), objective, share) for batch in batches]
            return {"lr": lr * share, **_means(steps)}
        parts = [self._part(batch, objective, len(batches), measure_kl) for batch in batches]
        before = [p.detach().clone() for p in self.parameters] if agreed else []
        steps = [
            self._step(part, objective, share) for _ in range(objective.passes) for part in parts
        ]
        cut = {"step_fraction": self._shortened(before, agreed, objective)} if agreed else {}
        return {"lr": lr * share, **_means(steps), **cut}

    def logprobs(self, decoder: Reference, batch: Batch, temperature: float) -> Tensor:
        """Log-probs of every completion's tokens, without gradient: (B, T), padded with 0.

        In a team, of the completions in this process's micro-batches; the others' are 0.
        """
        width = max(map(len, batch.completions))
        found = torch.zeros(len(batch.completions), width, device=decoder.device)
        with torch.no_grad():
            for micro, _ in self._micro_batches(batch):
                logprobs, _, _ = self._forward(decoder, micro, temperature)
                found[list(micro.rows), : logprobs.shape[1]] = logprobs
        return found

    def _part(self, batch: Batch, objective: GRPO, parts: int, measure_kl: bool) -> _Part:
        """The batch with what its loss compares with, by weights nobody has stepped on yet."""
        off_policy = objective.passes * parts > 1 or objective.sampler_cap is not None
        old = self.logprobs(self.decoder, batch, objective.temperature) if off_policy else None
        reference = None
        if objective.kl or measure_kl:
            assert self.reference is not None, "whoever asks for a KL gives the reference"
            reference = self.logprobs(self.reference, batch, objective.temperature)
        return _Part(batch, old, reference)

    def _step(self, part: _Part, objective: GRPO | NLL, share: float) -> Numbers:
        """One optimiser step on a batch, its gradient gathered over micro-batches."""
        self.optimizer.zero_grad(set_to_none=True)
        sums: dict[str, Tensor] = {}
        for micro, counts in self._micro_batches(part.batch):
            loss, numbers = self._loss(part, micro, objective)
            torch.autograd.backward(loss * self._factor(counts))
            for name, value in {"loss": loss.detach(), **numbers}.items():
                value = value if counts else torch.zeros_like(value)
                sums[name] = sums[name] + value if name in sums else value
        self.team.all_reduce(list(sums.values()))
        if not self.sharded:
            self.team.all_reduce([p.grad for p in self.parameters if p.grad is not None])
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.settings.max_grad_norm)
        norm, total = whole(norm), float(sums.pop("loss"))
        if not (torch.isfinite(norm) and total == total):
            raise TrainingDiverged(f"loss {total:g}, gradient norm {float(norm):g}")
        partial_step(self.optimizer, share)
        self._check_weights()
        tokens = part.batch.tokens
        means = {name: float(value) / tokens for name, value in sums.items()}
        return {"loss": total, "grad_norm": float(norm), **means}

    def _check_weights(self) -> None:
        """TrainingDiverged where they have left the range of numbers: sampling with them would
        show no signal, so that no later step could notice."""
        norm = whole(torch.nn.utils.get_total_norm([p.detach() for p in self.parameters]))
        if not torch.isfinite(norm):
            raise TrainingDiverged(f"weights of norm {float(norm):g} after the step")

    def _shortened(self, before: Sequence[Tensor], agreed: Batch, objective: GRPO) -> float:
        """Cuts the update in half until no completion lost too much; what share of it is left.

        before: the weights it began with. Source: the line search of TRPO, arXiv:1502.05477,
        appendix C, on another measure.
        """
        assert objective.max_drop is not None, "whoever gives what was agreed on asks for it"
        most, share = -math.log1p(-objective.max_drop), 1.0
        while share > _LEAST_STEP and self._largest_drop(agreed, objective.temperature) > most:
            share /= 2
            with torch.no_grad():
                for now, old in zip(self.parameters, before, strict=True):
                    now.add_(old).div_(2)
        return share

    def _largest_drop(self, agreed: Batch, temperature: float) -> float:
        """By how many nats that completion's log-prob fell which fell most; 0 if none did."""
        found = [0.0]
        with torch.no_grad():
            for micro, _ in self._micro_batches(agreed):
                logprobs, mask, _ = self._forward(self.decoder, micro, temperature)
                now = logprobs.where(mask, 0.0).sum(1).tolist()
                then = (sum(agreed.sampler_logprobs[row]) for row in micro.rows)
                found += [old - new for old, new in zip(then, now, strict=True)]
        return max(self.team.all_gather([max(found)]))

    def _loss(
        self, part: _Part, micro: MicroBatch, objective: GRPO | NLL
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """A micro-batch's share of the loss, and sums over its tokens for the log."""
        temperature = objective.temperature if isinstance(objective, GRPO) else 1.0
        logprobs, mask, entropy = self._forward(self.decoder, micro, temperature)
        numbers = {"entropy": entropy.where(mask, 0.0).sum()}
        if isinstance(objective, NLL):
            terms = negative_log_likelihood(logprobs)
        else:
            terms, more = _policy_terms(part, micro, objective, logprobs, mask)
            numbers |= more
        weights = part.batch.weights[list(micro.rows)].to(logprobs.device)
        return aggregate(terms, mask, weights), numbers

    def _forward(
        self, decoder: Reference, micro: MicroBatch, temperature: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        with torch.autocast(decoder.device.type, torch.bfloat16, enabled=self.autocast):
            return decoder.token_logprobs(micro.prefixes, micro.continuations, temperature)

    def _factor(self, counts: bool) -> float:
        """What a micro-batch's loss is multiplied by before its gradient is taken."""
        if not counts:
            return 0.0
        return float(self.team.size) if self.sharded else 1.0  # FSDP takes the mean over processes

    def _micro_batches(self, batch: Batch) -> list[tuple[MicroBatch, bool]]:
        """This process's micro-batches, and whether each counts; see ``packing.my_part``."""
        rows, ranks = (batch.prompts, batch.completions), self.team.size
        tokens = even_tokens(*rows, self.settings.micro_batch_tokens, ranks)
        parts = micro_batches(*rows, tokens, self.decoder.shares_prefixes)
        return my_part(parts, self.team.rank, ranks)


def partial_step(optimizer: torch.optim.Optimizer, share: float) -> None:
    """A step of AdamW that counts as ``share`` of one, 0 < share ≤ 1.

    The learning rate is multiplied by the share, and with it the weight decay. The running means
    move by the share of a step: the betas are raised to its power, and the step counter grows by
    it. So a gradient of which little is known neither moves the weights far now nor, through the
    means, in later steps. Scaling the gradient does neither: Adam divides the scale out.
    """
    if share == 1:
        optimizer.step()
        return
    before = [(group["lr"], group["betas"]) for group in optimizer.param_groups]
    for group, (lr, betas) in zip(optimizer.param_groups, before, strict=True):
        group["lr"], group["betas"] = lr * share, tuple(beta**share for beta in betas)
    for state in optimizer.state.values():
        state["step"].div_(share)  # counted in steps of this length, as the betas now are
    optimizer.step()
    for state in optimizer.state.values():
        state["step"].mul_(share)
    for group, (lr, betas) in zip(optimizer.param_groups, before, strict=True):
        group["lr"], group["betas"] = lr, betas


def _means(steps: Sequence[Numbers]) -> Numbers:
    return {name: sum(step[name] for step in steps) / len(steps) for name in steps[0]}


def _policy_terms(
    part: _Part, micro: MicroBatch, objective: GRPO, logprobs: Tensor, mask: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """The policy's loss token by token, (B, T), and sums over the tokens for the log."""
    rows, width, device = list(micro.rows), logprobs.shape[1], logprobs.device
    sampled = _padded([part.batch.sampler_logprobs[row] for row in rows], width, device)
    old = None if part.old is None else part.old[rows, :width]
    as_sampled = logprobs.detach() if old is None else old
    numbers = {"sampler_gap": (as_sampled - sampled).abs().where(mask, 0.0).sum()}
    advantages = part.batch.advantages[rows].to(device, logprobs.dtype)
    terms = clipped_surrogate(logprobs, advantages, old, objective.clip_low, objective.clip_high)
    if old is not None:
        numbers["clipped_fraction"] = _clipped(logprobs, old, mask, objective)
    if objective.sampler_cap is not None:
        assert old is not None, "asked for together with the cap"
        terms = terms * sampler_correction(old, sampled, objective.sampler_cap)
    if part.reference is not None:
        kl = kl_estimate(logprobs, part.reference[rows, :width])
        numbers["kl_to_start"] = kl.detach().where(mask, 0.0).sum()
        terms = terms + objective.kl * kl if objective.kl else terms
    if objective.entropy:
        terms = terms + objective.entropy * entropy_bonus(logprobs)
    return terms, numbers


def _padded(rows: Sequence[Sequence[float]], width: int, device: torch.device) -> Tensor:
    """Rows of numbers as (B, width), padded with 0."""
    return torch.tensor([[*row, *[0.0] * (width - len(row))] for row in rows], device=device)


def _clipped(logprobs: Tensor, old: Tensor, mask: Tensor, objective: GRPO) -> Tensor:
    """How many tokens' ratios are outside the clip."""
    ratio = torch.exp(logprobs.detach() - old)
    outside = (ratio < 1 - objective.clip_low) | (ratio > 1 + objective.clip_high)
    return (outside & mask).sum().float()
