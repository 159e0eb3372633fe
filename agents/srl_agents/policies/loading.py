"""Loads what samples for a training, with the weights that it needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from srl_agents.models.loading import find_device
from srl_agents.parallel.sharding import whole
from srl_agents.parallel.team import ALONE, Team
from srl_agents.policies import own
from srl_agents.policies.sampler import Sampler, Training
from srl_agents.policies.trained import load_parts, sampling_seed, will_shard
from srl_agents.policies.transformers import TransformersPolicy
from srl_agents.runs.config import SAMPLERS, ModelConfig, PolicyConfig
from srl_env.errors import BadOption
from srl_env.seeding import derive_seed


def load_sampler(
    settings: PolicyConfig,
    model: ModelConfig,
    seed: int,
    policy: TransformersPolicy,
    folder: Path,
    team: Team = ALONE,
) -> Sampler | None:
    """What samples with the policy's weights; None if the policy samples for itself.

    A policy whose weights are sharded over processes cannot sample: each process then has a whole
    copy. seed, folder: the run's. Raises MissingExtra, BadOption.
    """
    if settings.sampler == "transformers" and not will_shard(model, team):
        return None
    training = Training(settings, model, sampling_seed(seed, team), policy, folder, team)
    sampler: Sampler = _make(settings.sampler, training)
    _check(sampler, settings.sampler, ("generator", "push_weights", "close"))
    sampler.push_weights(policy.model)
    return sampler


def load_worker(settings: PolicyConfig, model: ModelConfig, seed: int, gpus: float) -> Any:
    """What samples in a worker of Ray; ``load_weights`` takes what ``worker_weights`` gives.

    gpus: how many the worker has, or the fraction of one; a sampler takes 0.9 of that memory.
    """
    training = Training(
        settings,
        model,
        derive_seed("sampling", seed),
        device=find_device(None if gpus else "cpu"),
        gpu_share=0.9 * min(gpus or 1.0, 1.0),
    )
    return _make(settings.sampler, training)


def samples_with_a_copy(settings: PolicyConfig) -> bool:
    """Whether the sampler is a copy of the model, of which there may be several."""
    found = _class(settings.sampler)
    return isinstance(found, type) and issubclass(found, Copy)


def load_own_sampler(settings: PolicyConfig, model: ModelConfig, seed: int) -> Any:
    """What samples in this process beside the trained model, on the same device; its weights are
    those of ``worker_weights``."""
    return _make(settings.sampler, Training(settings, model, derive_seed("sampling", seed)))


def worker_weights(settings: PolicyConfig, model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The weights that a worker's sampler takes, by name. BadOption if it takes none."""
    found = _class(settings.sampler)
    _check(found, settings.sampler, ("weights", "load_weights"))
    named: Iterator[tuple[str, Tensor]] = found.weights(model)
    return named


def _class(name: str) -> Any:
    return own.find(SAMPLERS.get(name, name))


def _make(name: str, training: Training) -> Any:
    found = _class(name)
    if hasattr(found, "for_training"):
        return found.for_training(training)
    made: Any = own.make(name, found, arguments=training.settings.engine, offered={})
    _check(made, name, ("generator",))
    made.generator.manual_seed(training.seed)
    return made


def _check(sampler: Any, name: str, parts: Sequence[str]) -> None:
    missing = [part for part in parts if not hasattr(sampler, part)]
    if missing:
        raise BadOption(f"policy.sampler must have {', '.join(parts)}; {name} lacks {missing[0]}")


class Copy(TransformersPolicy):
    """A whole copy of a model that is trained elsewhere, or sharded over processes."""

    @classmethod
    def for_training(cls, training: Training) -> Copy:
        """The copy, with the weights from before the training."""
        model, tokenizer = load_parts(training.model, training.seed, None, training.device)
        model.requires_grad_(False)
        return cls(model, tokenizer, autocast=training.model.autocast, seed=training.seed)

    @staticmethod
    def weights(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
        """What changes in training, by name. Sharded weights are gathered: all processes ask."""
        trained = ((name, p) for name, p in model.named_parameters() if p.requires_grad)
        return ((name, whole(p.detach())) for name, p in trained)

    @torch.no_grad()
    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        """Takes these weights, by their names in the model; the others stay as they are."""
        mine = dict(self.model.named_parameters())
        for name, value in weights:
            mine[name].copy_(value)
        self.weights_changed()

    def push_weights(self, model: nn.Module) -> None:
        """Takes the weights of a model of the same form."""
        self.load_weights(self.weights(model))

    def close(self) -> None:
        """Nothing: there is no engine."""
