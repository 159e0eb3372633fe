"""Where the next episodes start: problems, or (problem, k) after k expert steps.

Each epoch goes through the source once, in a new order. A source is read in chunks, so that one of
a million problems costs no more than one of a thousand. All draws follow from the seed and a few
counters, and a checkpoint keeps only those.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from srl_agents.methods.prefix import ProblemStats, given_steps
from srl_agents.methods.stages import Starts
from srl_env.errors import BadOption
from srl_env.problem import Problem, ProblemSource, start_steps
from srl_env.seeding import stream

_CHUNK = 1024  # problems shuffled together with all their steps
_EPOCHS_BELOW = 1 << 20  # a larger source (a generator) is drawn from with replacement


@dataclass(frozen=True, slots=True, order=True)
class StartPoint:
    """A problem by its index in the source, and how many expert steps are already taken.

    fraction: the one of the expert's steps that a schedule gave, before rounding. hint: the
    fraction that the prompt shows. env: the name of the environment, if the run has several.
    retry: whether a schedule tries its problem again in the same update.
    """

    problem: int
    start_step: int = 0
    fraction: float = field(default=0.0, compare=False)
    hint: float = field(default=0.0, compare=False)
    env: str = field(default="", compare=False)
    retry: bool = field(default=False, compare=False)

    @property
    def options(self) -> dict[str, Any]:
        """The options of ``reset`` for it."""
        place = {"problem": self.problem, "start_step": self.start_step}
        return {**place, "hint": self.hint} if self.hint else place


@dataclass(frozen=True, slots=True)
class StartResult:
    """How the episodes from one start went, without those that failed.

    rewards: each episode's total. correct: the verdict of each episode that has one. informative:
    whether a group of theirs can be trained on.
    """

    rewards: tuple[float, ...]
    correct: tuple[bool, ...]
    informative: bool


@dataclass(slots=True)
class StartSampler:
    """Draws start points from a source, epoch after epoch.

    key: what the order depends on besides the source, e.g. (seed, stage name). only: the indices
    of the problems to draw from, None for all. without_signal: starts whose groups carried no
    signal when they were last sampled. stats: of each sampled problem, for a prefix schedule.
    progress: the fraction of the stage's budget that is used. profiles: how many were made. kept:
    the start points that the last one kept, and whether their last group would be kept too.
    kept_drawn: how many of these were drawn since. watch: called with each result.
    """

    source: ProblemSource
    starts: Starts
    key: tuple[str | int, ...]
    only: Sequence[int] | None = None
    epoch: int = 0
    chunk: int = 0
    position: int = 0
    draws: int = 0
    without_signal: set[StartPoint] = field(default_factory=set)
    stats: dict[int, ProblemStats] = field(default_factory=dict)
    progress: float = 0.0
    profiles: int = 0
    kept: dict[StartPoint, bool] = field(default_factory=dict)
    kept_drawn: int = 0
    watch: Callable[[StartPoint, StartResult], object] | None = None
    _points: list[StartPoint] | None = None

    def __post_init__(self) -> None:
        if self.starts.subset is not None:
            among = range(len(self.source)) if self.only is None else self.only
            self.only = self.starts.subset.choose(self.source, among)

    def problem(self, point: StartPoint) -> Problem:
        """The problem of a point."""
        return self.source[point.problem]

    @property
    def profile_due(self) -> bool:
        """Whether start points have to be profiled before the next are drawn."""
        return self.starts.profile is not None and self.starts.profile.due(self.kept.values())

    def candidates(self) -> list[StartPoint]:
        """The start points to profile now; each once."""
        assert self.starts.profile is not None, "profile_due"
        return list(dict.fromkeys(self._next() for _ in range(self.starts.profile.candidates)))

    def keep(self, results: Iterable[tuple[StartPoint, StartResult]]) -> None:
        """Takes a new profile: draws only the start points that it keeps."""
        assert self.starts.profile is not None, "profile_due"
        self.profiles, self.kept_drawn = self.profiles + 1, 0
        self.kept = {
            point: True
            for point, result in results
            if self.starts.profile.keeps(result.rewards, result.informative)
        }

    def draw(self, count: int) -> list[StartPoint]:
        """The next ``count`` start points; BadOption if the source has none at all.

        After a profile that kept none there are none.
        """
        if self.profiles:
            return [self._next_kept() for _ in range(count)] if self.kept else []
        drawn: list[StartPoint] = []
        while len(drawn) < count:
            point = self._given(self._next())
            if point not in self.without_signal or self._revisits():
                drawn.append(point)
        return drawn

    def record(self, point: StartPoint, result: StartResult) -> StartPoint | None:
        """Takes note of how the episodes from a point went; returns what to try next, or None."""
        if self.watch is not None:
            self.watch(point, result)
        if result.informative:
            self.without_signal.discard(point)
        else:
            self.without_signal.add(point)
        schedule, profile = self.starts.prefix, self.starts.profile
        if profile is not None and point in self.kept:
            self.kept[point] = profile.keeps(result.rewards, result.informative)
        if schedule is not None and result.correct:
            stats = self.stats.get(point.problem, ProblemStats())
            stats = stats.counting(result.rewards, result.correct)
            success = sum(result.correct) / len(result.correct)
            stats = self.stats[point.problem] = schedule.moved(stats, point.fraction, success)
            again = schedule.again(stats, self._expert_steps(point.problem))
            if again is not None:
                return replace(self._after(point.problem, again), retry=True)
        return None

    def metrics(self, points: Sequence[StartPoint]) -> dict[str, float]:
        """How much a schedule gave at these points, and what a profile kept.

        starts/given: the mean fraction of the expert's steps. starts/kept: a number of start
        points. starts/kept_still: how many of them would be kept now.
        """
        found = dict[str, float]()
        if self.starts.prefix is not None and points:
            found["starts/given"] = sum(map(self._fraction_given, points)) / len(points)
        if self.starts.profile is not None:
            found["starts/kept"] = float(len(self.kept))
            found["starts/kept_still"] = float(sum(self.kept.values()))
        return found

    def state(self) -> dict[str, Any]:
        """What ``restore`` needs to continue with the same draws; JSON-safe."""
        return {
            "epoch": self.epoch,
            "chunk": self.chunk,
            "position": self.position,
            "draws": self.draws,
            "without_signal": [[p.problem, p.start_step] for p in sorted(self.without_signal)],
            "stats": {str(problem): asdict(stats) for problem, stats in self.stats.items()},
            "profiles": self.profiles,
            "kept": [[p.problem, p.start_step, still] for p, still in self.kept.items()],
            "kept_drawn": self.kept_drawn,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Puts the sampler back to where ``state`` was taken."""
        self.epoch, self.chunk = state["epoch"], state["chunk"]
        self.position, self.draws = state["position"], state["draws"]
        self.without_signal = {StartPoint(*pair) for pair in state["without_signal"]}
        stats = state.get("stats", {})  # older checkpoints have none
        self.stats = {int(problem): ProblemStats(**fields) for problem, fields in stats.items()}
        self.profiles = state.get("profiles", 0)
        self.kept = {StartPoint(*place): still for *place, still in state.get("kept", [])}
        self.kept_drawn = state.get("kept_drawn", 0)
        self._points = None

    def _next_kept(self) -> StartPoint:
        """The next of the start points that a profile kept, in a new order each time around."""
        around, place = divmod(self.kept_drawn, len(self.kept))
        key = ("kept", *self.key, self.source.name, self.profiles, around)
        self.kept_drawn += 1
        return list(self.kept)[int(stream(*key).permutation(len(self.kept))[place])]

    def _given(self, point: StartPoint) -> StartPoint:
        """The start with as many expert steps as the schedule gives; the point if there is none."""
        if self.starts.prefix is None:
            return point
        place = (self.epoch, self.chunk, self.position)
        generator = stream("prefix", *self.key, self.source.name, *place)
        stats = self.stats.get(point.problem, ProblemStats())
        return self._after(
            point.problem, self.starts.prefix.fraction(self.progress, stats, generator)
        )

    def _after(self, problem: int, fraction: float) -> StartPoint:
        """The problem's start with this fraction of its expert's steps given."""
        steps = self._expert_steps(problem)
        given = given_steps(fraction, steps)
        fraction = fraction if steps else 0.0
        if self.starts.place == "hint":
            return StartPoint(problem, 0, fraction, hint=given / steps if steps else 0.0)
        return StartPoint(problem, given, fraction)

    def _fraction_given(self, point: StartPoint) -> float:
        return point.hint or point.start_step / max(1, self._expert_steps(point.problem))

    def _expert_steps(self, problem: int) -> int:
        return len(start_steps(self.source[problem], "all"))

    def _revisits(self) -> bool:
        self.draws += 1
        chance = self.starts.revisit
        return chance >= 1 or bool(stream("revisit", *self.key, self.draws).random() < chance)

    def _next(self) -> StartPoint:
        chunks = max(1, math.ceil(min(self._size, _EPOCHS_BELOW) / _CHUNK))
        empty = 0
        while self.position >= len(points := self._chunk_points()):
            empty = 0 if points else empty + 1
            if empty > chunks:
                raise BadOption(
                    f"{self.source.name} must have a step for targets={self.starts.targets!r}; got"
                    f" {self._size} problems without one. Fix: use problems with expert"
                    " trajectories, or start at the problem"
                )
            self.position, self._points = 0, None
            self.epoch, self.chunk = divmod(self.epoch * chunks + self.chunk + 1, chunks)
        self.position += 1
        return points[self.position - 1]

    @property
    def _size(self) -> int:
        return len(self.source) if self.only is None else len(self.only)

    def _chunk_points(self) -> list[StartPoint]:
        """The points of the current chunk, shuffled in parts of ``together`` of one problem."""
        if self._points is None:
            generator = stream("starts", *self.key, self.source.name, self.epoch, self.chunk)
            size, parts = self.starts.together, list[list[StartPoint]]()
            for index in self._chunk_problems():
                points = list(self._points_of(index))
                if size > 1:
                    points = [points[i] for i in generator.permutation(len(points))]
                parts += [points[i : i + size] for i in range(0, len(points), size)]
            order = generator.permutation(len(parts))
            self._points = [point for i in order for point in parts[i]]
        return self._points

    def _chunk_problems(self) -> list[int]:
        """The indices of the problems of the current chunk, in the source."""
        size, first = self._size, self.chunk * _CHUNK
        key = ("problems", *self.key, self.source.name, self.epoch)
        if size < _EPOCHS_BELOW:
            numbers = stream(*key).permutation(size)[first : first + _CHUNK]
        else:
            numbers = stream(*key, self.chunk).integers(0, size, _CHUNK, dtype=np.int64)
        return [int(i) if self.only is None else self.only[int(i)] for i in numbers]

    def _points_of(self, index: int) -> Iterator[StartPoint]:
        if self.starts.at == "problem":
            yield StartPoint(index)
            return
        for start_step in start_steps(self.source[index], self.starts.targets):
            yield StartPoint(index, start_step)
