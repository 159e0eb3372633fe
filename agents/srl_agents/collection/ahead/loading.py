"""What samples ahead in a training, from its configuration."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from torch import nn

from srl_agents.collection.ahead.local import LocalRunner
from srl_agents.collection.ahead.producer import Ahead
from srl_agents.collection.ahead.servers import Servers
from srl_agents.collection.environments import Environments
from srl_agents.collection.ray.runners import training_stream
from srl_agents.collection.stream import JobStream, Runner
from srl_agents.collection.versioned import Versioned, Weights
from srl_agents.parallel.team import Team
from srl_agents.policies.loading import load_own_sampler, samples_with_a_copy, worker_weights
from srl_agents.policies.transformers import TransformersPolicy
from srl_agents.runs.config import PolicyConfig, RunConfig

if TYPE_CHECKING:
    from srl_agents.collection.versioned import Offered


def load_ahead(
    config: RunConfig, envs: Environments, policy: TransformersPolicy, team: Team
) -> tuple[Ahead, Offered]:
    """The runners of a training, without weights, and what makes these.

    Raises what loading a sampler raises.
    """
    settings = config.rollout
    if settings.engine == "ray":
        stream, offered = training_stream(config, envs.all, policy, team)
        return Ahead(stream, settings.max_staleness, settings.job_groups), offered
    runners: list[Runner]
    if config.policy.sampler == "vllm-server":
        servers = Servers(config, policy, team)
        runners = list(servers.runners(envs.pools, settings.workers))
        offered = servers.offered
    else:
        runners, offered = list(_local(config, envs)), partial(_copied, config.policy)
    stream = JobStream(runners, envs.all, retries=settings.retries, patience_s=settings.deadline_s)
    return Ahead(stream, settings.max_staleness, settings.job_groups), offered


def _local(config: RunConfig, envs: Environments) -> Iterator[Runner]:
    """Threads, each with a copy of the model; other samplers are shared by all."""
    shared: Versioned | None = None
    for number in range(config.rollout.workers):
        if shared is None or samples_with_a_copy(config.policy):
            sampler = load_own_sampler(config.policy, config.model, config.seed)
            shared = Versioned(sampler, config.rollout.continue_episodes)
        yield LocalRunner(f"sampler {number + 1}", envs.pools(), shared)


def _copied(settings: PolicyConfig, model: nn.Module, version: int) -> Weights:
    named = [(name, value.detach().clone()) for name, value in worker_weights(settings, model)]
    return Weights(version, partial(_load, named))


def _load(named: Any, policy: Any) -> None:
    policy.load_weights(named)
