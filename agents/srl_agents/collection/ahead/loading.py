"""What samples ahead in a training, from its configuration."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from torch import nn

from srl_agents.collection.ahead.local import LocalRunner
from srl_agents.collection.ahead.producer import Ahead
from srl_agents.collection.ahead.stream import JobStream, Runner
from srl_agents.collection.ahead.versioned import Versioned, Weights
from srl_agents.collection.environments import Environments
from srl_agents.policies.loading import load_own_sampler, worker_weights
from srl_agents.runs.config import PolicyConfig, RunConfig


def load_ahead(config: RunConfig, envs: Environments) -> Ahead:
    """The runners of a training, without weights. Raises what loading a sampler raises."""
    settings = config.rollout
    stream = JobStream(
        list(_local(config, envs)),
        envs.all,
        retries=settings.retries,
        patience_s=settings.deadline_s,
    )
    return Ahead(stream, settings.max_staleness, settings.job_groups)


def offered(settings: PolicyConfig, model: nn.Module, version: int) -> Weights:
    """The model's weights as they are now, for samplers that load them later."""
    named = [(name, value.detach().clone()) for name, value in worker_weights(settings, model)]
    return Weights(version, partial(_load, named))


def _load(named: Any, policy: Any) -> None:
    policy.load_weights(named)


def _local(config: RunConfig, envs: Environments) -> Iterator[Runner]:
    """Threads, each with a copy of the model; other samplers are shared by all."""
    shared: Versioned | None = None
    for number in range(config.rollout.workers):
        if shared is None or config.policy.sampler == "transformers":
            sampler = load_own_sampler(config.policy, config.model, config.seed)
            shared = Versioned(sampler, config.rollout.continue_episodes)
        yield LocalRunner(f"sampler {number + 1}", envs.pools(), shared)
