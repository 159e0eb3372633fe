"""Data conditions: how much is known of the experts' solutions, in any environment.

They do not change which problem an index stands for, its prompt, or its answer.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from srl_env.episode.options import read_count, read_flag, read_fraction
from srl_env.problem import ExpertStep, ExpertTrajectory, Problem, ProblemSource
from srl_env.seeding import derive_seed


@dataclass(frozen=True, slots=True)
class DataConditions:
    """What is changed in the demonstrations.

    demonstrated: how many problems, from the first on, have their experts; the others have only the
    answer. None for all. hide_thoughts: whether the experts' thoughts are missing.
    noise: the fraction of the experts' steps, except their last ones, that are wrong. In a wrong
    step the last digit is another one; a step without digits becomes another step of the solution.
    The thought, the later steps and the world's answers stay as they are.
    """

    demonstrated: int | None = None
    hide_thoughts: bool = False
    noise: float = 0.0

    def __post_init__(self) -> None:
        read_fraction("noise", self.noise)
        read_flag("hide_thoughts", self.hide_thoughts)
        if self.demonstrated is not None:
            read_count("demonstrated", self.demonstrated, 0, "None or a whole number")

    def of(self, source: ProblemSource) -> ProblemSource:
        """The source under these conditions; the same one if there are none."""
        return source if self == DataConditions() else ConditionedSource(source, self)

    def changed(self, index: int, problem: Problem) -> Problem:
        """The problem of that index under these conditions."""
        if self.demonstrated is not None and index >= self.demonstrated:
            return replace(problem, trajectories=())
        if self.noise:
            problem = with_noise(problem, self.noise)
        if self.hide_thoughts:
            silent = (
                tuple(replace(s, thought=None) for s in t.steps) for t in problem.trajectories
            )
            ways = zip(problem.trajectories, silent, strict=True)
            problem = replace(
                problem, trajectories=tuple(replace(way, steps=steps) for way, steps in ways)
            )
        return problem


@dataclass(frozen=True, slots=True)
class ConditionedSource:
    """A problem source under data conditions; its name, and so every seed, is the source's."""

    source: ProblemSource
    conditions: DataConditions

    @property
    def name(self) -> str:
        """The source's own."""
        return self.source.name

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Problem:
        return self.conditions.changed(index, self.source[index])

    def index_of(self, problem_id: str) -> int:
        """As the source's."""
        return self.source.index_of(problem_id)


def with_noise(problem: Problem, noise: float) -> Problem:
    """The problem with a fraction of its experts' steps wrong.

    ``metadata["slips"]`` maps each wrong step to the correct one. The random stream depends on the
    problem's id alone.
    """
    rng = random.Random(derive_seed("noise", problem.id))
    slips: dict[str, str] = {}
    ways = [replace(way, steps=_noisy(way, noise, rng, slips)) for way in problem.trajectories]
    metadata = {**problem.metadata, "slips": slips} if ways else problem.metadata
    return replace(problem, trajectories=tuple(ways), metadata=metadata)


def _noisy(
    way: ExpertTrajectory, noise: float, rng: random.Random, slips: dict[str, str]
) -> tuple[ExpertStep, ...]:
    steps = list(way.steps)
    for position, step in enumerate(steps[:-1]):
        if rng.random() < noise:
            wrong = _wrong(step.action, way.actions[:-1], rng)
            if wrong not in way.actions:
                slips[wrong] = step.action
            steps[position] = replace(step, action=wrong)
    return tuple(steps)


def _wrong(action: str, others: Sequence[str], rng: random.Random) -> str:
    """The action with another last digit, or another action; the same if there is none."""
    place = max((i for i, character in enumerate(action) if character in "0123456789"), default=-1)
    if place < 0:
        return rng.choice([other for other in others if other != action] or [action])
    digit = (int(action[place]) + rng.randint(1, 9)) % 10
    return f"{action[:place]}{digit}{action[place + 1 :]}"
