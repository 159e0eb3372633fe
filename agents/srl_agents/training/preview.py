"""A look at what a run will learn from, before its first update.

A model that cannot follow the format, or that has no room for a step, gets no signal, and a run
shows that only after many updates. The preview samples a few groups of the first sampled stage with
its own random stream, so the run that follows is the same, to the bit, as without it.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import torch

from srl_agents.objectives.metrics import Metrics
from srl_agents.objectives.requests import Collected
from srl_agents.objectives.sampled import Sampled

if TYPE_CHECKING:
    from srl_agents.methods.stages import Stage
    from srl_agents.training.trainer import Trainer

MAX_GROUPS = 8
MAX_S = 60.0
SAMPLES = 3
_FEW = 0.5
_BACKWARD = 3.0  # a forward and a backward pass take about three times a forward pass


@dataclass(frozen=True, slots=True)
class Preview:
    """What a stage would learn from now.

    samples: (prompt's last message, completion, reward) of a few steps. metrics: means over what
    was sampled, named as in ``metrics.jsonl``. informative: groups that can be trained on, of
    ``groups``: those with rewards that differ, or all of them where a teacher decides.
    seconds_per_update: an estimate. peak_memory_bytes: of the process or the GPU. advice: what to
    change; () where training can work, or where an earlier stage teaches the model first.
    """

    stage: str
    samples: tuple[tuple[str, str, float], ...]
    metrics: Metrics
    informative: int
    groups: int
    seconds_per_update: float
    peak_memory_bytes: int
    advice: tuple[str, ...]


OnPreview = Callable[[Preview], None]


def preview(trainer: Trainer, max_groups: int = MAX_GROUPS, max_s: float = MAX_S) -> Preview | None:
    """Samples at most ``max_groups`` groups, for about ``max_s`` seconds; None if no stage
    compares what it samples.

    Of several processes, each samples its part.
    """
    first = trainer.clock.stages[0]
    stage = next((stage for stage in trainer.clock.stages if stage.objective.compares), None)
    if stage is None:
        return None
    objective = cast(Sampled, stage.objective)
    generator = trainer.samplers.policy.generator
    before = generator.get_state()
    try:
        found, seconds = _sampled(trainer, stage, objective, max_groups, max_s)
        train_s = _training_seconds(trainer, objective, found)
    finally:
        generator.set_state(before)
        trainer.samplers.forget()
        trainer.positions.take()  # what is sampled beforehand is no part of the budget
    metrics = found.metrics()
    scale = stage.batch / max(1, len(found.groups))
    refill = min(objective.max_groups, 1 / max(found.informative_fraction, 1e-9))
    asked = trainer.envs.instructions(stage, trainer.policy.native_tools)
    return Preview(
        stage=stage.name,
        samples=_samples(found),
        metrics=metrics,
        informative=found.informative,
        groups=len(found.groups),
        seconds_per_update=scale * (seconds * max(1.0, refill) + train_s),
        peak_memory_bytes=_peak_memory(trainer.policy.device),
        advice=tuple(_advice(stage, found, metrics, asked)) if stage is first else (),
    )


def _sampled(
    trainer: Trainer, stage: Stage, objective: Sampled, max_groups: int, max_s: float
) -> tuple[Collected, float]:
    """The groups, sampled one by one until one of the limits, and the seconds that took."""
    began = time.perf_counter()
    starts = trainer.starts_of(stage, "preview", trainer.config.seed)
    found = Collected(max_groups, objective.least_std)
    for number in range(max_groups):
        source = trainer.collector.source(starts, 1, "preview", number)
        one = objective.collect(source, refill=False)
        # Each is numbered from 0; together they must not look like one group.
        found.episodes += [replace(episode, group=number) for episode in one.episodes]
        found.groups += one.groups
        found.seconds_sampling += one.seconds_sampling
        found.seconds_environment += one.seconds_environment
        if trainer.team.any(time.perf_counter() - began > max_s):
            break
    return found, time.perf_counter() - began


def _training_seconds(trainer: Trainer, objective: Sampled, found: Collected) -> float:
    """About how long a forward and a backward pass over the groups take."""
    if not found.groups:
        return 0.0
    batch = objective.make_batch(found.groups, trainer.envs.max_steps)
    if not batch.completions:
        return 0.0
    began = time.perf_counter()
    trainer.learner.logprobs(trainer.learner.decoder, batch, objective.temperature)
    return _BACKWARD * (time.perf_counter() - began)


def _samples(found: Collected) -> tuple[tuple[str, str, float], ...]:
    """The first step of episodes of different starts."""
    first = {e.group: e.steps[0] for e in reversed(found.episodes) if e.steps and not e.failure}
    return tuple(
        (str(step.messages[-1]["content"]), step.generation.text, step.reward)
        for step in list(first.values())[:SAMPLES]
    )


def _advice(stage: Stage, found: Collected, metrics: Metrics, form: str) -> list[str]:
    """What keeps the stage from learning, most important first."""
    objective = cast(Sampled, stage.objective)
    if not found.informative and stage.auxiliary is None:
        return [objective.why_untrained([metrics], form)]
    advice = []
    kept = metrics.get("format_fraction", 1.0)
    if kept < _FEW:
        advice.append(
            f"Only {kept:.0%} of the steps keep the format. Choose a format that this model can"
            " follow (env.options.format), or teach it first with method 'form'."
        )
    truncated = metrics.get("truncated_fraction", 0.0)
    if truncated >= _FEW:
        advice.append(
            f"{truncated:.0%} of the completions reach objective.max_tokens ="
            f" {objective.max_tokens}. Raise it, or use a format that ends a step."
        )
    return advice


def _peak_memory(device: torch.device) -> int:
    """Bytes: of the GPU if the model is on one, else of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
