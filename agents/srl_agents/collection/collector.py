"""Sampling until the batch is full: from starts to episodes and groups.

Dynamic sampling as in SRL and DAPO: a group counts if its rewards differ enough, and sampling
continues until enough groups count or a limit is reached. ``rollouts`` runs the episodes.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, starmap
from typing import Any

from srl_agents.collection.runners import Job, Result, Rollouts
from srl_agents.methods.mixed_starts import AnyStarts
from srl_agents.methods.starts import StartPoint, StartResult
from srl_agents.objectives.batch import Batch
from srl_agents.objectives.requests import Collected, DemonstrationRequest, GroupRequest
from srl_agents.parallel.team import ALONE, Team
from srl_env.policy import Sampling
from srl_env.rollout import Episode, Start, Step
from srl_env.seeding import derive_seed

TRAIN = "train"
"""The purpose of an update that is trained on."""
_LEAST_INFORMATIVE = 0.125  # a refill never takes more than 8 times the groups that are missing

Experts = Callable[[Sequence[Start], Sampling], list[Episode]]
"""The expert's episode from each start, token-exact."""

Measured = Callable[[Sequence[Episode], Sampling], list[Episode]]
"""The episodes with the model's measure as reward."""

Examples = Callable[[Sequence[tuple[Episode, Step]], int], Batch | None]
"""Expert steps for samples; see ``srl_agents.collection.examples``."""

Demonstrate = Callable[[Sequence[StartPoint], DemonstrationRequest, int], Batch]
"""Demonstrations at start points; the number is a seed."""


@dataclass(frozen=True, slots=True)
class Collector:
    """Samples groups of episodes, and collects demonstrations.

    rollouts: what runs the episodes. seed: the run's; all others are derived from it. team: the
    processes that sample together; each receives the episodes of all. experts: for groups with
    expert rows. measured: rewards episodes by what the trained model says of them. options: {name
    of an environment: reset options of its episodes, which win over a request's}.
    """

    rollouts: Rollouts
    seed: int
    team: Team = ALONE
    demonstrate: Demonstrate | None = None
    experts: Experts | None = None
    measured: Measured | None = None
    write: Examples | None = None
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def source(self, starts: AnyStarts, batch: int, purpose: str, update: int) -> CollectorSource:
        """The ``Source`` of one update.

        batch: how many groups or demonstrations. purpose, update: what the episodes' seeds depend
        on besides the run's.
        """
        return CollectorSource(self, starts, batch, (purpose, update))


@dataclass(frozen=True, slots=True)
class CollectorSource:
    """A collector's episodes and demonstrations for one update."""

    collector: Collector
    starts: AnyStarts
    batch: int
    key: tuple[str, int]

    def sample(self, request: GroupRequest) -> Collected:
        """Groups, sampled until ``batch`` count, or ``request.max_groups`` times the batch.

        Starts that a schedule tries again come before new ones, and do not count. Before the
        starts of training are drawn, they are profiled if that is due.
        """
        found, again = Collected(self.batch, request.min_std), list[StartPoint]()
        tried = list[StartPoint]()
        if self.key[0] == TRAIN and self.starts.profile_due:
            self._profile(found, request)
        left = math.floor(self.batch * request.max_groups)
        while (missing := self.batch - found.informative) > 0 and (again or left):
            fraction = max(found.informative_fraction, _LEAST_INFORMATIVE) if tried else 1.0
            wanted = min(math.ceil(missing / fraction), left)
            points = again or self.starts.draw(wanted)
            if not points:
                break
            left -= len(points) if not again else 0
            numbered = list(enumerate(points, len(tried)))
            self._sample(found, request, numbered)
            tried += points
            results = self._results(found, dict(numbered))
            again = [p for p in starmap(self.starts.record, results) if p is not None]
        found.start_metrics = self.starts.metrics(tried)
        return found

    def _profile(self, found: Collected, request: GroupRequest) -> None:
        """Samples a group from each candidate, and tells the start sampler how they went."""
        source = replace(self, key=("profile", self.key[1]))
        profiled = Collected(0, request.min_std)
        numbered = dict(enumerate(self.starts.candidates()))
        source._sample(profiled, request, list(numbered.items()))
        self.starts.keep(source._results(profiled, numbered))
        found.profiled = profiled.episodes
        found.seconds_sampling += profiled.seconds_sampling
        found.seconds_environment += profiled.seconds_environment
        found.seconds_waiting += profiled.seconds_waiting

    def demonstrate(self, request: DemonstrationRequest) -> Collected:
        """One demonstration for each of ``batch`` starts."""
        assert self.collector.demonstrate is not None, "the trainer gives one"
        began = time.perf_counter()
        seed = derive_seed("demonstrations", self.collector.seed, self.key[1])
        found = self.collector.demonstrate(self.starts.draw(self.batch), request, seed)
        seconds = time.perf_counter() - began
        return Collected(self.batch, demonstrations=found, seconds_environment=seconds)

    def examples(self, samples: Sequence[tuple[Episode, Step]], room: int) -> Batch | None:
        """The expert's steps for the prompts of these samples."""
        assert self.collector.write is not None, "the trainer gives one"
        return self.collector.write(samples, room)

    def _sample(
        self, found: Collected, request: GroupRequest, points: Sequence[tuple[int, StartPoint]]
    ) -> None:
        """Adds the episodes of ``request.size`` copies of each numbered point."""
        team = self.collector.team
        mine = team.part(points)
        self._note(found, request, points, mine)
        began = time.perf_counter()
        results = self.collector.rollouts.run(self._jobs(request, mine, found.experts))
        _count_seconds(found, results, time.perf_counter() - began)
        began = time.perf_counter()
        episodes = team.all_gather([e for result in results for e in result.episodes])
        if team.size > 1:
            found.seconds_waiting += time.perf_counter() - began
        self._add(found, request, episodes)

    def _note(
        self,
        found: Collected,
        request: GroupRequest,
        points: Sequence[tuple[int, StartPoint]],
        mine: Sequence[tuple[int, StartPoint]],
    ) -> None:
        """Notes the starts of points, and their experts. mine: those of this process."""
        found.starts |= {number: self._start(request, number, point) for number, point in points}
        if request.experts:
            began = time.perf_counter()
            experts = self.collector.team.all_gather(self._experts(request, mine))
            found.experts |= {episode.group: episode for episode in experts}
            found.seconds_environment += time.perf_counter() - began

    def _add(self, found: Collected, request: GroupRequest, episodes: list[Episode]) -> None:
        """Adds the episodes of all processes, and forms the groups."""
        if request.model_measure:
            assert self.collector.measured is not None, "the trainer gives it"
            began = time.perf_counter()
            episodes = self.collector.measured(episodes, request.sampling)
            found.seconds_environment += time.perf_counter() - began
        found.episodes += episodes
        found.groups = request.form(found.episodes, found.experts)

    def _experts(
        self, request: GroupRequest, points: Sequence[tuple[int, StartPoint]]
    ) -> list[Episode]:
        """The expert's episode from each point whose problem has an expert."""
        assert self.collector.experts is not None, "the trainer gives it"
        starts = list[Start]()
        for number, point in points:
            experts = self.starts.problem(point).trajectories
            if not experts:
                continue
            begun = replace(point, start_step=0) if request.continued else point
            start = self._start(request, number, begun)
            steps = max(len(expert.steps) for expert in experts) - begun.start_step
            most = min(steps, start.options.get("max_steps", steps))
            starts.append(replace(start, options={**start.options, "max_steps": most}))
        return self.collector.experts(starts, request.sampling)

    def _jobs(
        self,
        request: GroupRequest,
        points: Sequence[tuple[int, StartPoint]],
        experts: Mapping[int, Episode],
    ) -> list[Job]:
        """Jobs of as many groups as ``rollouts`` takes, each with its own seed.

        Episodes that continue the beginning of a whole solution are a job for each group.
        """
        size, run = self.collector.rollouts.groups_per_job, self.collector.seed
        parts = [points[i : i + size] for i in range(0, len(points), size)] if size else [points]
        jobs = []
        for part in filter(None, parts):
            copies = [self._copies(request, *each) for each in part]
            seed = derive_seed("job", run, *self.key, part[0][0]) if size else None
            whole = {n: p for n, p in part if request.continued and _is_whole(experts.get(n))}
            sizes = [request.size - request.continued * (n in whole) for n, _ in part]
            kept = (each[:most] for each, most in zip(copies, sizes, strict=True))
            jobs.append(Job(tuple(chain.from_iterable(kept)), request.sampling, seed))
            for number, point in whole.items():
                start = self._start(request, number, replace(point, start_step=0))
                begun = beginning(experts[number].steps[0].generation.text, point.fraction)
                own = derive_seed("continued", run, *self.key, number) if size else None
                how = replace(request.sampling, prefill=begun)
                jobs.append(Job((start,) * request.continued, how, own))
        return jobs

    def _copies(self, request: GroupRequest, number: int, point: StartPoint) -> list[Start]:
        """The starts of a group's episodes."""
        given = [self._start(request, number, point)] * request.size
        if not request.continued:
            return given
        plain = self._start(request, number, replace(point, start_step=0))
        return [plain] * (request.size - request.continued) + given[: request.continued]

    def _start(self, request: GroupRequest, number: int, point: StartPoint) -> Start:
        seed = derive_seed("episode", self.collector.seed, *self.key, number)
        options = {**point.options, **request.options, **self.collector.options.get(point.env, {})}
        return Start(options, seed, number, env=point.env)

    def _results(
        self, found: Collected, points: Mapping[int, StartPoint]
    ) -> list[tuple[StartPoint, StartResult]]:
        """How the episodes from each numbered point went.

        A point without a group, because its episodes failed, has no result.
        """
        informative: dict[int, bool] = {}
        for group in found.groups:
            if group.start in points:
                counts = group.informative(found.min_std)
                informative[group.start] = informative.get(group.start, False) or counts
        sound: dict[int, list[Episode]] = {}
        for episode in found.episodes:
            if episode.failure is None:
                sound.setdefault(episode.group, []).append(episode)
        results = list[tuple[StartPoint, StartResult]]()
        for number, counts in informative.items():
            own = sound.get(number, [])
            correct = tuple(e.verdict["correct"] for e in own if e.verdict is not None)
            rewards = tuple(episode.total_reward for episode in own)
            results.append((points[number], StartResult(rewards, correct, counts)))
        return results


def beginning(text: str, fraction: float) -> str:
    """A fraction of a text, cut before a space if there is one, where tokens begin."""
    begun = text[: math.floor(fraction * len(text))]
    words = re.match(r"(.*\S)\s", begun, re.DOTALL)
    return begun if words is None else words[1]


def _is_whole(expert: Episode | None) -> bool:
    """Whether an expert's episode is one completion with the whole solution."""
    return expert is not None and expert.granularity == "solution" and bool(expert.steps)


def _count_seconds(found: Collected, results: Sequence[Result], passed: float) -> None:
    """Adds the seconds that passed, divided in the ratio of the workers' seconds."""
    sampling = math.fsum(result.seconds_sampling for result in results)
    everything = sampling + math.fsum(result.seconds_environment for result in results)
    fraction = sampling / everything if everything else 0.0
    found.seconds_sampling += fraction * passed
    found.seconds_environment += (1 - fraction) * passed
