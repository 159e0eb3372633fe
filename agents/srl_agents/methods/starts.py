"""Where the next episodes start: problems, or (problem, k) after k expert steps.

Each epoch goes through the source once in a new order; a source is read a chunk at a time, so
that one of a million problems costs no more than one of a thousand. Everything drawn follows
from the seed and a few counters, which are all that a checkpoint keeps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from srl_agents.methods.stages import Starts
from srl_env.errors import BadOption
from srl_env.problem import ProblemSource, step_instances
from srl_env.seeding import stream

_CHUNK = 1024  # problems shuffled together with all their steps
_EPOCHS_BELOW = 1 << 20  # a larger source (a generator) is drawn from with replacement


@dataclass(frozen=True, slots=True, order=True)
class StartPoint:
    """A problem by its index in the source, and how many expert steps are already taken."""

    problem: int
    start_step: int = 0


@dataclass(slots=True)
class StartSampler:
    """Draws start points from a source, epoch after epoch.

    key: what the order depends on besides the source, e.g. (seed, stage name). only: the indices
    of the problems that are drawn from, None for all.
    """

    source: ProblemSource
    starts: Starts
    key: tuple[str | int, ...]
    only: Sequence[int] | None = None
    epoch: int = 0
    chunk: int = 0
    position: int = 0
    draws: int = 0
    settled: set[StartPoint] = field(default_factory=set)
    _points: list[StartPoint] | None = None

    def draw(self, count: int) -> list[StartPoint]:
        """The next ``count`` start points; BadOption if the source has none at all."""
        drawn: list[StartPoint] = []
        while len(drawn) < count:
            point = self._next()
            if point not in self.settled or self._revisits():
                drawn.append(point)
        return drawn

    def note(self, point: StartPoint, informative: bool) -> None:
        """Remembers whether a point's group carried a signal when it was last sampled."""
        if informative:
            self.settled.discard(point)
        else:
            self.settled.add(point)

    def state(self) -> dict[str, Any]:
        """What ``restore`` needs to go on with the very same draws; JSON-safe."""
        return {
            "epoch": self.epoch,
            "chunk": self.chunk,
            "position": self.position,
            "draws": self.draws,
            "settled": [[p.problem, p.start_step] for p in sorted(self.settled)],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Puts the sampler back to where ``state`` was taken."""
        self.epoch, self.chunk = state["epoch"], state["chunk"]
        self.position, self.draws = state["position"], state["draws"]
        self.settled = {StartPoint(*pair) for pair in state["settled"]}
        self._points = None

    def _revisits(self) -> bool:
        self.draws += 1
        chance = self.starts.revisit
        return chance >= 1 or bool(stream("revisit", *self.key, self.draws).random() < chance)

    def _next(self) -> StartPoint:
        empty_since = 0
        while True:
            points = self._chunk_points()
            if self.position < len(points):
                self.position += 1
                return points[self.position - 1]
            empty_since = 0 if points else empty_since + 1
            if empty_since > len(self._chunks()):
                raise BadOption(
                    f"{self.source.name} gives no start: {self._size()} problems, none with a"
                    f" step for targets={self.starts.targets!r}; use problems with expert"
                    " trajectories, or start at the problem"
                )
            self._advance()

    def _advance(self) -> None:
        self.position, self._points = 0, None
        self.chunk += 1
        if self.chunk >= len(self._chunks()):
            self.epoch, self.chunk = self.epoch + 1, 0

    def _chunks(self) -> range:
        return range(max(1, -(-min(self._size(), _EPOCHS_BELOW) // _CHUNK)))

    def _size(self) -> int:
        return len(self.source) if self.only is None else len(self.only)

    def _chunk_points(self) -> list[StartPoint]:
        """The points of the current chunk, shuffled; so many of one problem stay together."""
        if self._points is None:
            generator = stream("starts", *self.key, self.source.name, self.epoch, self.chunk)
            parts = [
                part
                for index in self._chunk_problems()
                for part in self._parts(list(self._points_of(index)), generator)
            ]
            order = generator.permutation(len(parts))
            self._points = [point for i in order for point in parts[i]]
        return self._points

    def _parts(
        self, points: list[StartPoint], generator: np.random.Generator
    ) -> Iterator[list[StartPoint]]:
        """One problem's points in parts of ``together``, which of them is in which at random."""
        size = self.starts.together
        if size > 1:
            points = [points[i] for i in generator.permutation(len(points))]
        yield from (points[i : i + size] for i in range(0, len(points), size))

    def _chunk_problems(self) -> list[int]:
        """The indices of the problems of the current chunk, in the source."""
        numbers = self._chunk_numbers()
        return numbers if self.only is None else [self.only[number] for number in numbers]

    def _chunk_numbers(self) -> list[int]:
        size, first = self._size(), self.chunk * _CHUNK
        generator = stream("problems", *self.key, self.source.name, self.epoch)
        if size < _EPOCHS_BELOW:
            order = generator.permutation(size)
            return [int(i) for i in order[first : first + _CHUNK]]
        generator = stream("problems", *self.key, self.source.name, self.epoch, self.chunk)
        return [int(i) for i in generator.integers(0, size, _CHUNK, dtype=np.int64)]

    def _points_of(self, index: int) -> Iterator[StartPoint]:
        if self.starts.at == "problem":
            yield StartPoint(index)
            return
        problem = self.source[index]
        # Which of several trajectories an episode follows is drawn later: only steps they all have.
        shortest = min((len(t.steps) for t in problem.trajectories), default=0)
        for instance in step_instances(problem, self.starts.targets):
            if instance.start_step < shortest:
                yield StartPoint(index, instance.start_step)
