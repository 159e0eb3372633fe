"""Problems and the expert trajectories that come with them: plain frozen data.

Nothing here knows of rewards, environments or files; readers are in
``srl_env.data``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from srl_env.errors import BadOption

Targets = Literal["paper", "all"]


@dataclass(frozen=True, slots=True)
class ExpertStep:
    """One step of an expert's solution.

    action: what the expert wrote or did, the target of the step similarity.
    title: a short name of the step, context for the policy, never scored.
    thought: the expert's private reasoning before the action, where it was recorded.
    observation: what the world answered, where there is a world.
    """

    action: str
    title: str | None = None
    thought: str | None = None
    observation: str | None = None


@dataclass(frozen=True, slots=True)
class ExpertTrajectory:
    """An expert's solution as a sequence of at least one step."""

    steps: tuple[ExpertStep, ...]
    source: str | None = None

    def __post_init__(self) -> None:
        if not self.steps:
            raise BadOption("an expert trajectory needs at least one step; none was given")
        for step in self.steps:
            if not isinstance(step, ExpertStep):
                raise BadOption(
                    f"an expert trajectory is made of ExpertStep objects; got a "
                    f"{type(step).__name__} {step!r:.60}. Write ExpertStep(action)"
                )

    @property
    def actions(self) -> tuple[str, ...]:
        """The action of each step, in order."""
        return tuple(step.action for step in self.steps)


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem: its text, its answer, and how experts solved it.

    id: unique within its source. answer: what the verifier compares with, or None
    where the verifier needs none. trajectories: may be empty (outcome rewards only).
    metadata: JSON-safe; free for readers, verifiers and step checkers.
    """

    id: str
    prompt: str
    answer: str | None = None
    trajectories: tuple[ExpertTrajectory, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("id", "prompt", "answer"):
            value = getattr(self, name)
            if not (isinstance(value, str) or (name == "answer" and value is None)):
                raise BadOption(
                    f"the {name} of a problem is a text (str); got {type(value).__name__} "
                    f"{value!r:.60} in problem {self.id!r:.60}"
                )
        if not all(isinstance(way, ExpertTrajectory) for way in self.trajectories):
            raise BadOption(
                f"the trajectories of problem {self.id!r:.60} are ExpertTrajectory objects, each "
                "of a whole solution: trajectories=(ExpertTrajectory(steps),)"
            )


@runtime_checkable
class ProblemSource(Protocol):
    """Where an environment's problems come from.

    Sources are lazy (an index, not a list of a million problems), cheap to pickle,
    and shared by all environments of a process.
    """

    @property
    def name(self) -> str:
        """Names the source and its split, e.g. "modular_chain/train"; part of every seed."""
        ...

    def __len__(self) -> int:
        """How many problems there are; generated families have a nominal size."""
        ...

    def __getitem__(self, index: int) -> Problem:
        """Problem number ``index``; IndexError outside 0 … len−1."""
        ...

    def index_of(self, problem_id: str) -> int:
        """The index of the problem with that id; ``UnknownName`` if there is none."""
        ...


@dataclass(frozen=True, slots=True)
class StepInstance:
    """One training instance of SRL: given the problem and ``start_step`` expert steps, the next."""

    problem: Problem
    start_step: int


def step_instances(problem: Problem, targets: Targets = "paper") -> Iterator[StepInstance]:
    """The instances of one solution of N steps.

    targets="paper": steps 1 … N−1 are targets, so start_step is 0 … N−2 (the last step never
    is one; a one-step solution gives none). targets="all": also the last.
    Source: SRL, arXiv:2510.25992, section 3.
    """
    if targets not in ("paper", "all"):
        raise BadOption(f"targets is 'paper' or 'all'; got {targets!r}")
    if not problem.trajectories:
        return
    last = len(problem.trajectories[0].steps) - (targets == "paper")
    for start_step in range(last):
        yield StepInstance(problem, start_step)
