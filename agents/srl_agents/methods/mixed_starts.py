"""Starts from several environments, in fixed proportions.

Draw n comes from the environment whose draws are furthest behind its weight's share of n. So after
any number of draws each environment has its share, to within one start for each environment. No
random number is used, and a checkpoint keeps the counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from srl_agents.methods.starts import StartPoint, StartResult, StartSampler
from srl_env.problem import Problem


class AnyStarts(Protocol):
    """What draws start points: ``StartSampler`` from one environment, ``MixedStarts`` from several.

    progress: the fraction of the stage's budget that is used. watch: called with each result.
    """

    progress: float
    watch: Callable[[StartPoint, StartResult], object] | None

    @property
    def profile_due(self) -> bool: ...
    def problem(self, point: StartPoint) -> Problem: ...
    def candidates(self) -> list[StartPoint]: ...
    def keep(self, results: Iterable[tuple[StartPoint, StartResult]]) -> None: ...
    def draw(self, count: int) -> list[StartPoint]: ...
    def record(self, point: StartPoint, result: StartResult) -> StartPoint | None: ...
    def metrics(self, points: Sequence[StartPoint]) -> dict[str, float]: ...
    def state(self) -> dict[str, Any]: ...
    def restore(self, state: dict[str, Any]) -> None: ...


@dataclass(slots=True)
class MixedStarts:
    """Draws start points from the samplers of several environments.

    samplers, weights: by the environments' names. counts: how many starts each gave. watch: called
    with each result.
    """

    samplers: Mapping[str, StartSampler]
    weights: Mapping[str, float]
    progress: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)
    watch: Callable[[StartPoint, StartResult], object] | None = None

    @property
    def profile_due(self) -> bool:
        """Whether start points of any environment have to be profiled."""
        return any(sampler.profile_due for sampler in self.samplers.values())

    def problem(self, point: StartPoint) -> Problem:
        """The problem of a point."""
        return self.samplers[point.env].problem(point)

    def candidates(self) -> list[StartPoint]:
        """The start points to profile now, of the environments where that is due."""
        return [
            replace(point, env=name)
            for name, sampler in self.samplers.items()
            if sampler.profile_due
            for point in sampler.candidates()
        ]

    def keep(self, results: Iterable[tuple[StartPoint, StartResult]]) -> None:
        """Takes the profiles of the environments where they were due."""
        found = list(results)
        for name, sampler in self.samplers.items():
            if sampler.profile_due:
                sampler.keep((point, result) for point, result in found if point.env == name)

    def draw(self, count: int) -> list[StartPoint]:
        """The next ``count`` start points; fewer if profiles kept none."""
        drawn = list[StartPoint]()
        for _ in range(count):
            name = self._next()
            self.samplers[name].progress = self.progress
            self.counts[name] = self.counts.get(name, 0) + 1
            drawn += [replace(point, env=name) for point in self.samplers[name].draw(1)]
        return drawn

    def record(self, point: StartPoint, result: StartResult) -> StartPoint | None:
        """Takes note of how the episodes from a point went; returns what to try next, or None."""
        if self.watch is not None:
            self.watch(point, result)
        again = self.samplers[point.env].record(point, result)
        return None if again is None else replace(again, env=point.env)

    def metrics(self, points: Sequence[StartPoint]) -> dict[str, float]:
        """{metric/environment: number}; see ``StartSampler.metrics``."""
        return {
            f"{key}/{name}": value
            for name, sampler in self.samplers.items()
            for key, value in sampler.metrics([p for p in points if p.env == name]).items()
        }

    def state(self) -> dict[str, Any]:
        """What ``restore`` needs to continue with the same draws; JSON-safe."""
        states = {name: sampler.state() for name, sampler in self.samplers.items()}
        return {"counts": self.counts, "samplers": states}

    def restore(self, state: dict[str, Any]) -> None:
        """Puts the samplers back to where ``state`` was taken."""
        self.counts = dict(state["counts"])
        for name, sampler in self.samplers.items():
            sampler.restore(state["samplers"][name])

    def _next(self) -> str:
        """The environment that is furthest behind; of equal ones the first."""
        number, whole = sum(self.counts.values()) + 1, sum(self.weights.values())
        return max(
            self.samplers,
            key=lambda name: number * self.weights[name] / whole - self.counts.get(name, 0),
        )
