"""What samples for a training, and gets its weights: the policy itself, an engine, or workers."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from srl_agents.collection.ahead.loading import load_ahead
from srl_agents.collection.ahead.producer import Ahead
from srl_agents.collection.collector import CollectorSource
from srl_agents.collection.environments import Environments
from srl_agents.collection.ray.runners import training_stream
from srl_agents.collection.runners import LocalRollouts, Rollouts
from srl_agents.collection.stream import JobStream
from srl_agents.methods.mixed_starts import AnyStarts
from srl_agents.objectives.metrics import Metrics
from srl_agents.parallel.team import Team
from srl_agents.policies.loading import load_sampler
from srl_agents.policies.sampler import Sampler
from srl_agents.policies.transformers import TransformersPolicy
from srl_agents.runs.config import PolicyConfig, RunConfig

if TYPE_CHECKING:
    from srl_agents.collection.versioned import Offered


def load_samplers(
    config: RunConfig, envs: Environments, policy: TransformersPolicy, team: Team
) -> Samplers:
    """What a training's configuration names. Raises what loading a sampler raises."""

    def engine(here: PolicyConfig) -> Sampler | None:
        return load_sampler(here, config.model, config.seed, policy, Path(config.out), team)

    if config.samples_ahead:
        ahead, offered = load_ahead(config, envs, policy, team)
        return Samplers(policy, engine(PolicyConfig()), ahead.stream, ahead.stream, offered, ahead)
    if config.rollout.engine == "ray" and config.samples:
        stream, offered = training_stream(config, envs.all, policy, team)
        return Samplers(policy, engine(PolicyConfig()), stream, stream, offered)
    own = engine(config.policy)
    rollouts = LocalRollouts(envs.pools(), own or policy, config.rollout.groups_per_job)
    return Samplers(policy, own, rollouts)


@dataclass(slots=True)
class Samplers:
    """What samples for a training.

    trained: the policy. engine: what samples in this process with its weights, if it does not.
    rollouts: what runs the episodes. stream: the same, if workers do. offered: makes the workers'
    weights. ahead: what they sample ahead. version: of their weights.
    """

    trained: TransformersPolicy
    engine: Sampler | None
    rollouts: Rollouts
    stream: JobStream | None = None
    offered: Offered | None = None
    ahead: Ahead | None = None
    version: int = 0

    @property
    def policy(self) -> TransformersPolicy | Sampler:
        """What samples in this process, as for evaluations."""
        return self.engine or self.trained

    def begin(self) -> None:
        """Hands the first weights to workers; an engine was loaded with them."""
        if self.offered is not None and self.stream is not None:
            (self.ahead or self.stream).offer(self.offered(self.trained.model, self.version))

    def push(self) -> Metrics:
        """Hands out the weights after a step; the seconds that took."""
        between = self.stream is not None and self.ahead is None
        return _timed(self._to_engine() + [self._next] * between)

    def end_update(self) -> Metrics:
        """Hands out the weights after an update to what samples ahead; the seconds that took."""
        return _timed([self._next] * (self.ahead is not None))

    def forget(self) -> None:
        """Forgets cached prompts: their last bits depend on what was sampled with them."""
        self.trained.weights_changed()
        _timed(self._to_engine())

    def source(self, source: CollectorSource) -> CollectorSource:
        """The source of an update; most of it was begun before if workers sample ahead."""
        return source if self.ahead is None else self.ahead.source(source)

    def metrics(self, seconds: float) -> Metrics:
        """Numbers of an update, which took so many seconds."""
        return {} if self.ahead is None else self.ahead.metrics(seconds)

    def state(self, starts: AnyStarts) -> dict[str, Any] | None:
        """What a checkpoint keeps, as JSON."""
        return None if self.ahead is None else self.ahead.state(starts)

    def restore(self, state: Mapping[str, Any] | None, starts: AnyStarts) -> None:
        """Restores it, before ``begin``."""
        if self.ahead is not None and state is not None:
            self.ahead.restore(state, starts)
            self.version = self.ahead.version

    def close(self) -> None:
        """Ends workers and engine."""
        self.rollouts.close()
        if self.engine is not None:
            self.engine.close()

    def _to_engine(self) -> list[Callable[[], None]]:
        engine = self.engine
        return [] if engine is None else [lambda: engine.push_weights(self.trained.model)]

    def _next(self) -> None:
        self.version += 1
        self.begin()


def _timed(calls: list[Callable[[], None]]) -> Metrics:
    """Makes the calls; the seconds that took, if there are any."""
    began = time.perf_counter()
    for call in calls:
        call()
    return {"time/push": time.perf_counter() - began} if calls else {}
