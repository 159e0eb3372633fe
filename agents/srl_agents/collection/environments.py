"""The environments of a run: one, or several whose starts and episodes carry a name.

What works on one environment is called for each with its own starts, episodes or samples, and the
results come back in the order in which they were asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch

from srl_agents.collection.cached_problems import CachedSource
from srl_agents.collection.demonstrations import demonstrations, expert_episodes
from srl_agents.collection.examples import examples
from srl_agents.collection.likelihood import LogLikelihood, Score
from srl_agents.methods.mixed_starts import AnyStarts, MixedStarts
from srl_agents.methods.stages import Stage
from srl_agents.methods.starts import StartPoint, StartSampler
from srl_agents.objectives.batch import Batch
from srl_agents.objectives.loss import completion_weights
from srl_agents.objectives.requests import DemonstrationRequest
from srl_agents.policies import TransformersPolicy
from srl_agents.runs.config import EnvConfig, RunConfig
from srl_agents.runs.environment import make_env
from srl_agents.runs.problem_file import indices_of
from srl_env.environment import ReasoningEnv
from srl_env.policy import Sampling
from srl_env.problem import ProblemSource
from srl_env.rollout import EnvPool, Episode, Start, Step


class Named(Protocol):
    """What belongs to an environment."""

    @property
    def env(self) -> str: ...


T = TypeVar("T", bound=Named)
R = TypeVar("R")


class Environments:
    """The environments of a run, by name; the only one's name is "".

    all: an environment of each kind, which hands its problems to those of the pools.
    """

    def __init__(self, config: RunConfig) -> None:
        """Raises as ``make_env`` and ``indices_of``."""
        self._settings = config.environments
        self.all = {name: make_env(settings) for name, settings in self._settings.items()}
        self._only = {name: _only(s, self.all[name].problems) for name, s in self._settings.items()}
        self._pools: list[dict[str, EnvPool]] = []
        for env in self.all.values():
            env.problems = CachedSource(env.problems)

    @property
    def max_steps(self) -> int:
        """Of the longest episode."""
        return max(env.max_steps for env in self.all.values())

    @property
    def options(self) -> dict[str, dict[str, Any]]:
        """{name: the options of its episodes, which win over a stage's}."""
        return {each.name or each.id: each.episode.options for each in self._weighted}

    def instructions(self, stage: Stage, native_tools: bool = False) -> str:
        """What the formats of a stage's environments ask for, each once.

        native_tools: whether the policy takes tools.
        """
        asked = (_instructions(self.all[name], native_tools) for name in self._names(stage))
        return " ".join(dict.fromkeys(asked))

    def pools(self) -> dict[str, EnvPool]:
        """A new pool for each environment."""
        pools = {name: EnvPool(partial(self._another, name)) for name in self.all}
        self._pools.append(pools)
        return pools

    def starts(self, stage: Stage, key: tuple[str | int, ...]) -> AnyStarts:
        """A new sampler of the stage's starts; key: what its random stream is for."""
        samplers = {
            name: StartSampler(self.all[name].problems, stage.starts, key, self._only[name])
            for name in self._names(stage)
        }
        if "" in samplers:
            return samplers[""]
        return MixedStarts(samplers, {each.name or each.id: each.weight for each in self._weighted})

    def demonstrations(
        self,
        policy: TransformersPolicy,
        points: Sequence[StartPoint],
        request: DemonstrationRequest,
        seed: int,
    ) -> Batch:
        """``collection.demonstrations.demonstrations`` at points of any environment."""

        def of(env: ReasoningEnv, own: Sequence[StartPoint]) -> list[tuple[Any, Any]]:
            made = demonstrations(env, policy, own, request, seed)
            return list(zip(made.prompts, made.completions, strict=True))

        if "" in self.all:
            return demonstrations(self.all[""], policy, points, request, seed)
        return _batch(self._each(points, of), request)

    def experts(
        self,
        pools: Mapping[str, EnvPool],
        policy: TransformersPolicy,
        starts: Sequence[Start],
        sampling: Sampling,
    ) -> list[Episode]:
        """``collection.demonstrations.expert_episodes`` from starts of any environment."""
        return [
            episode
            for name, pool in pools.items()
            for own in [[start for start in starts if start.env == name]]
            for episode in expert_episodes(pool, policy, own, sampling)
        ]

    def measured(
        self,
        policy: TransformersPolicy,
        score: Score,
        episodes: Sequence[Episode],
        sampling: Sampling,
    ) -> list[Episode]:
        """``LogLikelihood.rewarded`` of episodes of any environment."""
        return self._each(
            episodes,
            lambda env, own: LogLikelihood(env.format, policy, score).rewarded(own, sampling),
        )

    def examples(
        self, policy: TransformersPolicy, samples: Sequence[tuple[Episode, Step]], room: int
    ) -> Batch | None:
        """``collection.examples.examples`` for samples of any environment."""
        found = [
            examples(env, policy, [pair for pair in samples if pair[0].env == name], room)
            for name, env in self.all.items()
        ]
        batches = [batch for batch in found if batch is not None]
        if len(batches) < 2:
            return batches[0] if batches else None
        prompts = tuple(ids for batch in batches for ids in batch.prompts)
        completions = tuple(ids for batch in batches for ids in batch.completions)
        ones = torch.ones(len(prompts))
        return Batch(prompts, completions, ones, ones)

    def close(self) -> None:
        """Closes all environments, with their worlds."""
        for pools in self._pools:
            for pool in pools.values():
                pool.close()
        for env in self.all.values():
            env.close()

    @property
    def _weighted(self) -> tuple[Any, ...]:
        return tuple(each for name, each in self._settings.items() if name)

    def _names(self, stage: Stage) -> Iterable[str]:
        return stage.envs or self.all

    def _another(self, name: str) -> ReasoningEnv:
        env = make_env(self._settings[name])
        env.problems = self.all[name].problems
        return env

    def _each(
        self, items: Sequence[T], call: Callable[[ReasoningEnv, Sequence[T]], Sequence[R]]
    ) -> list[R]:
        """A result for each item, in order, by one call for each environment."""
        found: dict[int, R] = {}
        for name, env in self.all.items():
            places = [place for place, item in enumerate(items) if item.env == name]
            if places:
                own = call(env, [items[place] for place in places])
                found.update(zip(places, own, strict=True))
        return [found[place] for place in range(len(items))]


def _instructions(env: ReasoningEnv, native_tools: bool) -> str:
    native = env.native_format if native_tools else None
    return env.format.instructions if native is None else native.native_instructions


def _only(settings: EnvConfig, problems: ProblemSource) -> Sequence[int] | None:
    return None if settings.problems is None else indices_of(Path(settings.problems), problems)


def _batch(pairs: Sequence[tuple[Any, Any]], request: DemonstrationRequest) -> Batch:
    """The demonstrations, each with its weight in the loss."""
    prompts, completions = zip(*pairs, strict=True)
    lengths = torch.tensor([len(ids) for ids in completions])
    weights = completion_weights(lengths, torch.arange(len(pairs)), request.aggregation)
    return Batch(prompts, completions, torch.ones(len(pairs)), weights)
