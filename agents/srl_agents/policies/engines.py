"""What samples in the trained model's place, with its weights: a copy, vLLM, or a server."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from srl_agents.models.loading import find_device
from srl_agents.parallel.sharding import whole
from srl_agents.parallel.team import ALONE, Team
from srl_agents.policies.trained import is_spread, load_parts, sampling_seed
from srl_agents.policies.transformers import TransformersPolicy
from srl_agents.policies.vllm.engine import engine_weights
from srl_agents.runs.config import ModelConfig, PolicyConfig
from srl_env.policy import Policy
from srl_env.seeding import derive_seed

if TYPE_CHECKING:
    from srl_agents.policies.vllm.engine import VLLMPolicy


HANDED_OVER = "sampler.safetensors"
"""The file in a run's folder with the weights that a server samples with."""


class SamplingEngine(Policy, Protocol):
    """What samples in the trained model's place, with its weights."""

    @property
    def generator(self) -> Any:
        """All randomness of sampling; ``get_state`` and ``set_state`` keep it."""
        ...

    def push_weights(self, model: nn.Module) -> None:
        """Takes the weights of the model, which may be spread over processes."""
        ...

    def close(self) -> None:
        """Ends it and frees its memory."""
        ...


def load_engine(
    settings: PolicyConfig,
    model: ModelConfig,
    seed: int,
    policy: TransformersPolicy,
    folder: Path,
    team: Team = ALONE,
) -> SamplingEngine | None:
    """What samples with the policy's weights, None where the policy samples for itself.

    A policy whose weights are spread over processes cannot: each process then has a whole copy,
    or vLLM's engine; a server is everybody's. seed: the run's. folder: the run's, where weights
    for a server lie. On a GPU vLLM takes 0.3 of the memory, if ``settings.engine`` says nothing
    else, because the training needs the rest. Raises MissingExtra, BadOption.
    """
    if settings.sampler == "vllm":
        # With this one, vLLM takes the processes that there are, each for an engine of its own.
        beside = {"distributed_executor_backend": "external_launcher"} if team.size > 1 else {}
        options = {"gpu_memory_utilization": 0.3, **beside, **settings.engine}
        engine: SamplingEngine = _vllm(settings, model, sampling_seed(seed, team), options)
    elif settings.sampler == "vllm-server":
        engine = _server(settings, sampling_seed(seed, team), policy, folder, team)
    elif is_spread(model, team):
        engine = Copy(*load_parts(model, seed, None), model.autocast, sampling_seed(seed, team))
    else:
        return None
    engine.push_weights(policy.model)
    return engine


class Copy(TransformersPolicy):
    """A whole copy of a model that is trained elsewhere, or spread over processes, to sample."""

    def __init__(self, model: nn.Module, tokenizer: Any, autocast: bool, seed: int) -> None:
        super().__init__(model.requires_grad_(False), tokenizer, autocast=autocast, seed=seed)

    def push_weights(self, model: nn.Module) -> None:
        """Takes the weights of a model of the same form, put together one at a time."""
        self.load_weights((name, whole(p.detach())) for name, p in model.named_parameters())

    @torch.no_grad()
    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        """Takes these weights, by their names in the model; the others stay as they are."""
        mine = dict(self.model.named_parameters())
        for name, value in weights:
            mine[name].copy_(value)
        self.weights_changed()

    def close(self) -> None:
        """Nothing: there is no engine."""


def load_worker(
    settings: PolicyConfig, model: ModelConfig, seed: int, gpus: float
) -> Copy | VLLMPolicy:
    """What samples in a worker, apart from the training, with weights of ``worker_weights``.

    gpus: how many the worker has, or what share of one; vLLM takes as much of its memory.
    """
    if settings.sampler == "vllm":
        options = {"gpu_memory_utilization": 0.9 * min(gpus or 1.0, 1.0), **settings.engine}
        return _vllm(settings, model, derive_seed("sampling", seed), options)
    place = find_device(None if gpus else "cpu")
    return Copy(
        *load_parts(model, seed, None, place), model.autocast, derive_seed("sampling", seed)
    )


def worker_weights(settings: PolicyConfig, model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """What changes in training, by name, for what ``load_worker`` gives; adapters merged for vLLM.

    Where the weights are spread over processes, all of them ask for each in turn.
    """
    if settings.sampler == "vllm":
        return engine_weights(model)
    trained = ((name, p) for name, p in model.named_parameters() if p.requires_grad)
    return ((name, whole(p.detach())) for name, p in trained)


def _vllm(
    settings: PolicyConfig, model: ModelConfig, seed: int, options: Mapping[str, Any]
) -> VLLMPolicy:
    from srl_agents.policies.vllm.engine import VLLMPolicy

    dtype = "bfloat16" if model.autocast else model.dtype
    return VLLMPolicy(model.path, dtype=dtype, seed=seed, rows=settings.rows, **options)


def _server(
    settings: PolicyConfig, seed: int, policy: TransformersPolicy, folder: Path, team: Team
) -> SamplingEngine:
    from srl_agents.policies.servers.vllm_server import VLLMServerPolicy

    assert settings.base_url is not None, "configuration checks this"
    return VLLMServerPolicy(
        settings.base_url,
        policy,
        folder / HANDED_OVER,
        seed=seed,
        rows=settings.rows,
        team=team,
    )
