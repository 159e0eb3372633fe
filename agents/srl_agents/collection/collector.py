"""Sampling until the batch is full: starts in, episodes and the groups worth learning from out.

Dynamic sampling as in SRL and DAPO: a group is kept if its rewards deviate enough, and sampling
goes on until there are as many as wanted, or a cap is reached. Who runs the episodes is the
business of ``rollouts``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from srl_agents.collection.runners import Job, Result, Rollouts
from srl_agents.methods.stages import GRPO
from srl_agents.methods.starts import StartPoint, StartSampler
from srl_agents.objectives.groups import Group, groups_of
from srl_agents.objectives.metrics import Metrics, episode_metrics, group_metrics, sampled_tokens
from srl_agents.parallel.team import ALONE, Team
from srl_env.policy import Sampling
from srl_env.rollout import Episode, Start
from srl_env.seeding import derive_seed

_LEAST_KEPT_SHARE = 0.125  # a refill never takes more than 8 times the groups it is short of


@dataclass(slots=True)
class Collected:
    """What was sampled for one update.

    groups: all of them; kept: those to learn from, at most the batch.
    seconds_sampling: inside the policy; seconds_environment: in environments and rewards (where
    workers run episodes, the time that passed here, divided as theirs was); seconds_waiting:
    until other processes had sampled theirs, 0 where there are none.
    """

    objective: GRPO
    episodes: list[Episode] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    kept: list[Group] = field(default_factory=list)
    points: list[StartPoint] = field(default_factory=list)
    seconds_sampling: float = 0.0
    seconds_environment: float = 0.0
    seconds_waiting: float = 0.0

    @property
    def tokens(self) -> int:
        """How many tokens the policy wrote."""
        return sampled_tokens(self.episodes)

    @property
    def informative_fraction(self) -> float:
        """The share of groups whose rewards deviate enough; 0 where there are no groups."""
        informative = sum(group.std > self.objective.min_std for group in self.groups)
        return informative / len(self.groups) if self.groups else 0.0

    def metrics(self) -> Metrics:
        """The numbers of these episodes and groups, and the speed of each phase."""
        return {
            **episode_metrics(self.episodes),
            **group_metrics(self.groups, self.kept, self.objective.min_std),
            "time/sample": self.seconds_sampling,
            "time/environment": self.seconds_environment,
            **({"time/wait": self.seconds_waiting} if self.seconds_waiting else {}),
            "tokens_per_s/sample": _rate(self.tokens, self.seconds_sampling),
            "tokens_per_s/environment": _rate(self.tokens, self.seconds_environment),
        }


class Collector:
    """Samples groups of episodes."""

    def __init__(self, rollouts: Rollouts, seed: int, team: Team = ALONE) -> None:
        """rollouts: what runs the episodes. seed: the run's; all others are derived from it.

        team: the processes that sample together; each has the episodes of all in the end.
        """
        self.rollouts, self.seed, self.team = rollouts, seed, team

    def fill(
        self, objective: GRPO, starts: StartSampler, batch: int, purpose: str, update: int
    ) -> Collected:
        """Groups sampled until ``batch`` are kept, or ``objective.max_groups`` times the batch.

        purpose, update: what the episodes' seeds depend on besides the run's.
        """
        found = Collected(objective)
        most = math.floor(batch * objective.max_groups)
        while len(found.kept) < batch and len(found.points) < most:
            share = max(found.informative_fraction, _LEAST_KEPT_SHARE) if found.points else 1.0
            wanted = math.ceil((batch - len(found.kept)) / share)
            points = starts.draw(min(wanted, most - len(found.points)))
            self._sample(found, points, (purpose, update))
        for number, informative in _informative(found).items():
            starts.note(found.points[number], informative)
        found.kept = found.kept[:batch]
        return found

    def _sample(self, found: Collected, points: Sequence[StartPoint], key: tuple[str, int]) -> None:
        """Adds the episodes of ``group_size`` copies of each point."""
        began = time.perf_counter()
        mine = self.team.share(list(enumerate(points, len(found.points))))
        results = self.rollouts.run(self._jobs(found.objective, mine, key))
        _count_seconds(found, results, time.perf_counter() - began)
        began = time.perf_counter()
        episodes = self.team.all_gather([e for part in results for e in part.episodes])
        if self.team.size > 1:
            found.seconds_waiting += time.perf_counter() - began
        groups = groups_of(episodes)
        found.points += points
        found.episodes += episodes
        found.groups += groups
        found.kept += [g for g in groups if g.std > found.objective.min_std]

    def _jobs(
        self, objective: GRPO, points: Sequence[tuple[int, StartPoint]], key: tuple[str, int]
    ) -> list[Job]:
        """So many groups at a time as ``rollouts`` takes, each time with a seed of its own."""
        size = self.rollouts.groups_per_job
        parts = [points[i : i + size] for i in range(0, len(points), size)] if size else [points]
        sampling = Sampling(objective.temperature, objective.max_tokens)
        jobs = []
        for part in filter(None, parts):
            copies = [self._copies(objective, point, number, key) for number, point in part]
            seed = derive_seed("job", self.seed, *key, part[0][0]) if size else None
            jobs.append(Job(tuple(chain.from_iterable(copies)), sampling, seed))
        return jobs

    def _copies(
        self, objective: GRPO, point: StartPoint, number: int, key: tuple[str, int]
    ) -> list[Start]:
        options: dict[str, Any] = {
            "problem": point.problem,
            "start_step": point.start_step,
            "reward_mode": objective.reward_mode,
            "continuation": objective.continuation,
            "granularity": objective.granularity,
            "max_steps": objective.max_steps,
        }
        options = {name: value for name, value in options.items() if value is not None}
        seed = derive_seed("episode", self.seed, *key, number)
        return [Start(options, seed, number)] * objective.group_size


def _count_seconds(found: Collected, results: Sequence[Result], passed: float) -> None:
    """Adds the seconds that passed, divided as those of the workers were."""
    sampling = math.fsum(part.seconds_sampling for part in results)
    everything = sampling + math.fsum(part.seconds_environment for part in results)
    share = sampling / everything if everything else 0.0
    found.seconds_sampling += share * passed
    found.seconds_environment += (1 - share) * passed


def _rate(tokens: int, seconds: float) -> float:
    """Tokens per second; 0 in a process that had nothing to do."""
    return tokens / seconds if seconds else 0.0


def _informative(found: Collected) -> dict[int, bool]:
    """{start: whether any of its groups' rewards deviate enough}."""
    informative: dict[int, bool] = {}
    for group in found.groups:
        deviates = group.std > found.objective.min_std
        informative[group.start] = informative.get(group.start, False) or deviates
    return informative
