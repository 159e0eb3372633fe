"""Groups of episodes that are sampled ahead, and handed out if they are not too old.

Jobs begin while the learner collects, so many that runners are busy during its update, and no more
than ``rules.room`` says. All decisions (starts, seeds, what is too old) are made by the learner, in
every process of a team alike. Only the order in which jobs end is chance.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby, starmap
from typing import Any

from srl_agents.collection.ahead.rules import groups_in_a_job, room, staleness, versions
from srl_agents.collection.collector import TRAIN, CollectorSource
from srl_agents.collection.runners import Result
from srl_agents.collection.stream import JobStream
from srl_agents.collection.versioned import Weights
from srl_agents.methods.mixed_starts import AnyStarts
from srl_agents.methods.starts import StartPoint
from srl_agents.objectives.metrics import Metrics
from srl_agents.objectives.requests import Collected, GroupRequest
from srl_env.rollout import Episode

_KEY = (TRAIN, 0)  # of all groups that are sampled ahead; updates are numbered from 1


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """The episodes of one start. seconds_sampling, seconds_environment: its part of its job's."""

    number: int
    episodes: list[Episode]
    seconds_sampling: float
    seconds_environment: float


@dataclass(slots=True)
class Ahead:
    """What was begun and not taken, of one process.

    max_staleness: of a sample that is trained on. job_groups: how many groups run together; None
    chooses it by the batch. version: of the learner's weights. expected: groups that an update
    takes. pending: the start point of each group that was begun and not taken. experts: their
    experts' episodes. spare: groups that arrived and are not used yet, in every process the same.
    again: start points to begin before new ones.
    """

    stream: JobStream
    max_staleness: int
    job_groups: int | None = None
    version: int = 0
    expected: int = 0
    pending: dict[int, StartPoint] = field(default_factory=dict)
    experts: dict[int, Episode] = field(default_factory=dict)
    spare: list[Group] = field(default_factory=list)
    again: list[StartPoint] = field(default_factory=list)
    _starts: AnyStarts | None = None
    _numbers: int = 0
    _ready: list[Group] = field(default_factory=list)
    _numbers_for_log: Metrics = field(default_factory=dict)

    def offer(self, weights: Weights) -> None:
        """Samples with new weights from now on, without waiting for what runs."""
        self.version = weights.version
        self.stream.offer(weights)

    def source(self, source: CollectorSource) -> AheadSource:
        """The source of an update; with other starts than before, all that was begun is lost."""
        if source.starts is not self._starts:
            self._forget()
            self._starts = source.starts
        return AheadSource(source.collector, source.starts, source.batch, source.key, self)

    def fresh(self, group: Group) -> bool:
        """Whether a group may be trained on."""
        return staleness(group.episodes, self.version) <= self.max_staleness

    def begin(self, points: Sequence[StartPoint]) -> list[tuple[int, StartPoint]]:
        """Numbers start points, whose groups are pending from now on."""
        numbered = list(enumerate(points, self._numbers))
        self._numbers += len(points)
        self.pending |= dict(numbered)
        return numbered

    def parts(
        self, points: Sequence[tuple[int, StartPoint]]
    ) -> list[Sequence[tuple[int, StartPoint]]]:
        """The points of each job."""
        slots = self.stream.slots
        size = groups_in_a_job(self.job_groups, self.max_staleness, self.expected, slots)
        self.stream.groups_per_job = size
        return [points[i : i + size] for i in range(0, len(points), size)]

    def pull(self, count: int) -> list[Group]:
        """The ``count`` groups of this process that began first, of those that are done.

        Waits until there are so many. Fewer if no more were begun.
        """
        while len(self._ready) < count and self.stream.busy:
            self._ready += _groups(self.stream.take())
        self._ready.sort(key=lambda group: group.number)
        pulled, self._ready = self._ready[:count], self._ready[count:]
        return pulled

    def note(self, numbers: Metrics, episodes: Iterable[Episode]) -> None:
        """Keeps an update's numbers for the log. episodes: those that may be trained on."""
        ages = [self.version - version for version in versions(episodes)]
        if ages:
            numbers |= {"staleness/mean": sum(ages) / len(ages), "staleness/max": float(max(ages))}
        self._numbers_for_log = {**numbers, "staleness/pending": float(len(self.pending))}

    def metrics(self, seconds: float) -> Metrics:
        """Numbers of the last update, which took so many seconds; each once."""
        found, self._numbers_for_log = self._numbers_for_log, {}
        if "time/idle" in found:
            found["idle_fraction"] = found["time/idle"] / seconds
        return found

    def state(self, starts: AnyStarts) -> dict[str, Any]:
        """What a checkpoint keeps, as JSON: with the starts of what is lost if the process ends."""
        points = [*self.pending.values(), *self.again] if starts is self._starts else []
        numbers = {"version": self.version, "numbers": self._numbers}
        return {**numbers, "points": [asdict(point) for point in points]}

    def restore(self, state: Mapping[str, Any], starts: AnyStarts) -> None:
        """Will begin with the starts of what was lost."""
        self._starts, self.version = starts, state["version"]
        self._numbers = state["numbers"]
        self.again = [StartPoint(**fields) for fields in state["points"]]

    def _forget(self) -> None:
        self.stream.discard()
        for kept in (self.pending, self.experts, self.spare, self.again, self._ready):
            kept.clear()
        self.expected = 0


@dataclass(frozen=True, slots=True)
class AheadSource(CollectorSource):
    """The source of an update, most of whose groups were begun before it."""

    ahead: Ahead

    def sample(self, request: GroupRequest) -> Collected:
        """The next groups that are not too old, until ``batch`` count or the limit is reached."""
        ahead, found, tried = self.ahead, Collected(self.batch, request.min_std), list[StartPoint]()
        if self.starts.profile_due:
            self._profile(found, request)
        left, idle, dropped = math.floor(self.batch * request.max_groups), 0.0, 0
        ahead.expected = max(ahead.expected, self.batch)
        while (missing := min(self.batch - found.informative, left)) > 0:
            self._begin_more(found, request, len(tried) + dropped, missing)
            if not ahead.pending:
                break  # no start is left
            began = time.perf_counter()
            groups = self._take(missing)
            idle += time.perf_counter() - began
            points = {group.number: ahead.pending.pop(group.number) for group in groups}
            old = [group for group in groups if not ahead.fresh(group)]
            dropped += len(old)
            found.dropped += [episode for group in old for episode in group.episodes]
            kept = {group.number: points[group.number] for group in groups if group not in old}
            self._add_groups(found, request, kept, groups)
            tried += kept.values()
            left -= sum(not point.retry for point in kept.values())
            again = starmap(self.starts.record, self._results(found, kept))
            ahead.again += [point for point in again if point is not None]
        ahead.expected = len(tried)  # not what was dropped, or each drop would lead to more
        found.start_metrics = self.starts.metrics(tried)
        ahead.note({"time/idle": idle, "staleness/dropped": float(dropped)}, found.episodes)
        return found

    def _begin_more(
        self, found: Collected, request: GroupRequest, taken: int, missing: int
    ) -> None:
        """Begins as many groups as there is room for."""
        ahead, team = self.ahead, self.collector.team
        free = room(ahead.max_staleness, ahead.expected, taken, missing, len(ahead.pending))
        points, ahead.again = ahead.again[:free], ahead.again[free:]
        numbered = ahead.begin([*points, *self.starts.draw(free - len(points))])
        mine = [(n, point) for n, point in numbered if n % team.size == team.rank]
        own, begun = replace(self, key=_KEY), Collected(0)
        own._note(begun, request, numbered, mine)
        ahead.experts |= begun.experts
        found.seconds_environment += begun.seconds_environment
        for part in ahead.parts(mine):
            ahead.stream.submit(own._jobs(request, part, begun.experts))

    def _take(self, count: int) -> list[Group]:
        """The next groups of all processes, at most ``count``."""
        ahead, team = self.ahead, self.collector.team
        if (wanted := count - len(ahead.spare)) > 0:
            ahead.spare += team.all_gather(ahead.pull(math.ceil(wanted / team.size)))
            ahead.spare.sort(key=lambda group: group.number)
        taken, ahead.spare = ahead.spare[:count], ahead.spare[count:]
        return taken

    def _add_groups(
        self,
        found: Collected,
        request: GroupRequest,
        kept: Mapping[int, StartPoint],
        groups: Sequence[Group],
    ) -> None:
        """Adds the groups that are kept, and forgets what is known of the others."""
        own, episodes = replace(self, key=_KEY), list[Episode]()
        for group in groups:
            expert = self.ahead.experts.pop(group.number, None)
            if group.number not in kept:
                continue
            if expert is not None:
                found.experts[group.number] = expert
            found.starts[group.number] = own._start(request, group.number, kept[group.number])
            found.seconds_sampling += group.seconds_sampling
            found.seconds_environment += group.seconds_environment
            episodes += group.episodes
        self._add(found, request, episodes)


def _groups(results: Sequence[Result]) -> list[Group]:
    """The groups of jobs that belong together, whose seconds are divided evenly."""
    episodes = sorted((e for result in results for e in result.episodes), key=lambda e: e.group)
    by_number = [(number, list(own)) for number, own in groupby(episodes, lambda e: e.group)]
    sampling, environment = (
        math.fsum(getattr(result, name) for result in results) / max(1, len(by_number))
        for name in ("seconds_sampling", "seconds_environment")
    )
    return [Group(number, own, sampling, environment) for number, own in by_number]
