"""One update: batches in, changed weights and a few numbers out.

The learner owns the optimiser. The objective makes the terms of the loss; the learner sums them,
micro-batch by micro-batch, and steps.

If several processes train, each has the whole batch, weights in the loss included, and computes
its part of the micro-batches. The sum of all gradients equals that of one process. Copies of a
model (DDP) sum their gradients once per step, after the last micro-batch. Sharded weights (FSDP)
are gathered, and their gradients summed, layer by layer in each micro-batch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from srl_agents.nn.score import (
    Continuation,
    Decoder,
    Other,
    States,
    TokenScores,
    make_decoder,
    tree_of,
)
from srl_agents.objectives.base import Objective
from srl_agents.objectives.batch import Batch, TrainingBatches
from srl_agents.objectives.loss import weighted_sum
from srl_agents.objectives.teacher import TeacherRequest
from srl_agents.parallel.sharding import is_sharded, whole
from srl_agents.parallel.team import ALONE, Team
from srl_agents.policies.trained import Reference
from srl_agents.runs.config import OptimizerConfig
from srl_agents.training.halving import halve
from srl_agents.training.packing import MicroBatch, even_tokens, micro_batches, my_part
from srl_agents.training.partial_step import partial_step
from srl_agents.training.positions import SCORED, TRAINED, Positions, pass_positions
from srl_agents.training.scored_batch import ScoredBatch, differences
from srl_env.errors import SrlEnvError

Numbers = dict[str, float]

_OF_SAMPLED = ("sampler_gap", "kl_to_start")  # means over tokens that the policy sampled


class TrainingDiverged(SrlEnvError, RuntimeError):
    """The loss, its gradient or the weights became NaN or infinite."""


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
        teachers: Mapping[str, Reference] | None = None,
        team: Team = ALONE,
        positions: Positions | None = None,
    ) -> None:
        """model: its parameters with ``requires_grad`` are trained.

        autocast: matrix products in bfloat16. decoder: the model's; made here if not given.
        reference: the decoder of the run's first weights, if a KL is measured. teachers: the
        decoders that objectives name. team: the processes that train the model together. All make
        the same updates. positions: counts what goes through the network.
        """
        self.settings, self.autocast, self.team = settings, autocast, team
        self.sharded = is_sharded(model)
        self.decoder = decoder or make_decoder(model)
        self.reference, self.teachers = reference, dict(teachers or {})
        self.positions = positions or Positions()
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = self.fresh_optimizer()

    def fresh_optimizer(self, betas: tuple[float, float] | None = None) -> torch.optim.Optimizer:
        """A new AdamW; weight decay on matrices only. betas: override the settings'."""
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
        self, data: TrainingBatches, objective: Objective, lr: float, measure_kl: bool = False
    ) -> Numbers:
        """One optimiser step on each batch, in as many passes as the objective says.

        measure_kl: report the KL to the run's first weights even if the loss does not need it.
        Returns means over tokens and steps: loss, entropy, grad_norm (before clipping), lr (times
        ``data.fraction``). If they apply also kl_to_start, clipped_fraction, sampler_gap (nats
        between sampler and trainer), and step_fraction (1 if the update was not halved).
        Raises TrainingDiverged.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        count = len(data.batches)
        parts = [self._part(batch, objective, count, measure_kl) for batch in data.batches]
        before = [p.detach().clone() for p in self.parameters] if data.unanimous else []
        steps = [
            self._step(part, objective, data.fraction)
            for _ in range(objective.passes)
            for part in parts
        ]
        means = {name: sum(step[name] for step in steps) / len(steps) for name in steps[0]}
        if data.unanimous is not None:
            assert objective.max_drop is not None, "unanimous completions are collected for it"
            drop = partial(self._largest_drop, data.unanimous, objective)
            most = -math.log1p(-objective.max_drop)
            means["step_fraction"] = halve(self.parameters, before, drop, most)
        return {"lr": lr * data.fraction, **means}

    def scored(self, batch: Batch, temperature: float, phase: str) -> Tensor:
        """Log-probs (B, T) of a batch's completions by the current weights, in every process.

        phase: under which their positions count.
        """
        self._count(phase, batch)
        return self.logprobs(self.decoder, batch, temperature, gather=True)

    def logprobs(
        self, decoder: Reference, batch: Batch, temperature: float, gather: bool = False
    ) -> Tensor:
        """Log-probs of every completion's tokens, without gradient: (B, T), padded with 0.

        In a team, of the completions in this process's micro-batches; the others' are 0 unless they
        are gathered.
        """
        width = max(map(len, batch.completions))
        dtype = torch.promote_types(self.parameters[0].dtype, torch.float32)
        shape = len(batch.completions), width
        found = torch.zeros(shape, dtype=dtype, device=decoder.device)
        with torch.no_grad():
            for micro, counts in self._micro_batches(batch):
                logprobs, _, _ = self._forward(decoder, micro, temperature)
                if counts or not gather:
                    found[list(micro.rows), : logprobs.shape[1]] = logprobs
        if gather:
            self.team.all_reduce([found])
        return found

    def _part(
        self, batch: Batch, objective: Objective, steps: int, measure_kl: bool
    ) -> ScoredBatch:
        """The batch with what its loss compares with, by weights before the first step."""
        old = reference = None
        if objective.needs_old_logprobs(steps):
            self._count("old", batch)
            old = self.logprobs(self.decoder, batch, objective.temperature)
        if objective.needs_reference or (measure_kl and batch.sampler_logprobs):
            assert self.reference is not None, "callers that need a KL give the reference"
            self._count("reference", batch)
            reference = self.logprobs(self.reference, batch, objective.temperature)
        teacher, request = None, objective.teacher_request
        if request is not None and request.measure is None:
            seen = replace(batch, prompts=batch.teacher_prompts)  # in other micro-batches
            decoder = self.teachers[request.weights]
            self._count("teacher", seen)
            teacher = self.logprobs(decoder, seen, objective.temperature, gather=True)
        return ScoredBatch(batch, old, reference, teacher)

    def _step(self, part: ScoredBatch, objective: Objective, fraction: float) -> Numbers:
        """One optimiser step on a batch, its gradient summed over micro-batches."""
        self._count("train", part.batch, TRAINED)
        request = objective.teacher_request
        if request is not None and request.measure is not None:
            self._count("teacher", replace(part.batch, prompts=part.batch.teacher_prompts))
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
        partial_step(self.optimizer, fraction)
        self._check_weights()
        tokens = dict.fromkeys(sums, part.batch.tokens)
        tokens |= dict.fromkeys(_OF_SAMPLED, max(1, part.batch.sampled_tokens))
        means = {name: float(value) / tokens[name] for name, value in sums.items()}
        return {"loss": total, "grad_norm": float(norm), **means}

    def _check_weights(self) -> None:
        """Raises TrainingDiverged for weights that are not finite.

        Sampling with them would show no signal, so no later step could notice.
        """
        norm = whole(torch.nn.utils.get_total_norm([p.detach() for p in self.parameters]))
        if not torch.isfinite(norm):
            raise TrainingDiverged(f"weights of norm {float(norm):g} after the step")

    def _largest_drop(self, unanimous: Batch, objective: Objective) -> float:
        """The largest fall of a completion's log-prob, in nats; 0 if none fell."""
        self._count("max_drop", unanimous)
        drops = [0.0]
        with torch.no_grad():
            for micro, _ in self._micro_batches(unanimous):
                logprobs, mask, _ = self._forward(self.decoder, micro, objective.temperature)
                now = logprobs.where(mask, 0.0).sum(1).tolist()
                then = (sum(unanimous.sampler_logprobs[row]) for row in micro.rows)
                drops += [old - new for old, new in zip(then, now, strict=True)]
        return max(self.team.all_gather([max(drops)]))

    def _loss(
        self, part: ScoredBatch, micro: MicroBatch, objective: Objective
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """A micro-batch's part of the loss, and sums over its tokens for the log."""
        found = self._token_scores(part.batch, micro, objective)
        mask, scores = found.mask, part.scores(micro, found)
        weights = part.batch.weights[list(micro.rows)].to(mask.device)
        loss = weighted_sum(list(objective.loss_terms(scores)), mask, weights)
        numbers = {"entropy": found.entropy, **differences(scores)}
        if part.teacher is not None:
            numbers["teacher_failures"] = part.teacher[list(micro.rows), : mask.shape[1]].isnan()
        sums = {name: value.detach().where(mask, 0.0).sum() for name, value in numbers.items()}
        return loss, {**sums, **objective.numbers(scores)}

    def _count(self, phase: str, batch: Batch, each: int = SCORED) -> None:
        """Counts one pass of all processes over a batch."""
        self.positions.add(phase, pass_positions(batch.prompts, batch.completions), each)

    def _token_scores(self, batch: Batch, micro: MicroBatch, objective: Objective) -> TokenScores:
        """The policy's scores of a micro-batch, with divergences if the objective measures them."""
        decoder, request = self.decoder, objective.teacher_request
        with torch.autocast(decoder.device.type, torch.bfloat16, enabled=self.autocast):
            other = None
            if request is not None and request.measure is not None:
                states = self._teacher_states(batch, micro, request)
                other = Other(states, request.measure)
            tree = tree_of(micro.prefixes, micro.continuations)
            return decoder.score(tree, objective.temperature, other)

    def _teacher_states(self, batch: Batch, micro: MicroBatch, request: TeacherRequest) -> States:
        """What predicts the micro-batch's tokens in the teacher's prompts, with its weights now."""
        prompts = [batch.teacher_prompts[row] for row in micro.rows]
        numbers = {prompt: number for number, prompt in enumerate(dict.fromkeys(prompts))}
        continuations = [
            Continuation(numbers[prompt], len(prompt), each.ids)
            for prompt, each in zip(prompts, micro.continuations, strict=True)
        ]
        with torch.no_grad():
            return self.teachers[request.weights].states(tree_of(list(numbers), continuations))

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
