"""Problems and their expert trajectories: plain frozen data.

Nothing here knows of rewards, environments or files; readers are in ``srl_env.data``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from srl_env.errors import BadOption

Targets = Literal["paper", "all"]


@dataclass(frozen=True, slots=True)
class ExpertStep:
    """One step of an expert's solution.

    action: what the expert wrote or did, the target of the step similarity.
    title: a short name of the step, context for the policy, never scored.
    thought: the expert's private reasoning before the action, if recorded.
    observation: the world's answer, if there is a world.
    """

    action: str
    title: str | None = None
    thought: str | None = None
    observation: str | None = None

    def __post_init__(self) -> None:
        _check_text("action of an ExpertStep", self.action)
        for name in ("title", "thought", "observation"):
            _check_text(f"{name} of an ExpertStep", getattr(self, name), empty=True)


@dataclass(frozen=True, slots=True)
class ExpertTrajectory:
    """An expert's solution as a sequence of at least one step."""

    steps: tuple[ExpertStep, ...]
    source: str | None = None

    def __post_init__(self) -> None:
        _check_tuple("steps of an ExpertTrajectory", self.steps, ExpertStep, "ExpertStep(text)")
        if not self.steps:
            raise BadOption("an expert trajectory needs at least one step; none was given")
        _check_text("source of an ExpertTrajectory", self.source, empty=True)

    @property
    def actions(self) -> tuple[str, ...]:
        """The action of each step, in order."""
        return tuple(step.action for step in self.steps)


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem: its text, its answer, and how experts solved it.

    id: unique within its source. answer: what the verifier compares with, or None if it needs none.
    trajectories: may be empty (outcome rewards only). metadata: JSON-safe; free for readers,
    verifiers and step checkers.
    """

    id: str
    prompt: str
    answer: str | None = None
    trajectories: tuple[ExpertTrajectory, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_text("id of a Problem", self.id)
        which = f"of problem {self.id!r:.60}"
        _check_text(f"prompt {which}", self.prompt)
        _check_text(f"answer {which}", self.answer, empty=True)
        _check_tuple(
            f"trajectories {which}", self.trajectories, ExpertTrajectory, "ExpertTrajectory(steps)"
        )
        if not isinstance(self.metadata, Mapping):
            raise _wrong(f"metadata {which}", "a mapping", self.metadata, '{"key": value}')


def _check_text(what: str, value: object, *, empty: bool = False) -> None:
    if not (isinstance(value, str) or (empty and value is None)):
        number = isinstance(value, int | float)
        fix = f"str(value), here {str(value)!r}" if number else "give the text itself"
        raise _wrong(what, "a text (str) or None" if empty else "a text (str)", value, fix)


def _check_tuple(what: str, values: object, kind: type, example: str) -> None:
    of = f"a tuple of {kind.__name__}"
    if isinstance(values, tuple):
        for number, value in enumerate(values):
            if not isinstance(value, kind):
                raise _wrong(what, f"{of}; item {number} is not one", value, example)
    elif isinstance(values, list) and all(isinstance(value, kind) for value in values):
        raise _wrong(what, of, values, "tuple(list)")
    else:
        raise _wrong(what, of, values, f"({example},)")


def _wrong(what: str, expected: str, value: object, fix: str) -> BadOption:
    given = " ".join(f"{value!r:.60}".split())  # an array's repr has several lines
    return BadOption(f"{what} must be {expected}; got {type(value).__name__} {given}. Fix: {fix}")


@runtime_checkable
class ProblemSource(Protocol):
    """Where an environment's problems come from.

    Sources are lazy (an index, not a list of a million problems), cheap to pickle, and shared by
    all environments of a process.
    """

    @property
    def name(self) -> str:
        """The source and its split, e.g. "modular_chain/train"; part of every seed."""

    def __len__(self) -> int:
        """How many problems there are; generated families have a nominal size."""

    def __getitem__(self, index: int) -> Problem:
        """Problem number ``index``; IndexError outside 0 … len−1."""

    def index_of(self, problem_id: str) -> int:
        """The index of the problem with that id; ``UnknownName`` if there is none."""


def start_steps(problem: Problem, targets: Targets = "paper") -> range:
    """SRL's training instances of a problem: how many expert steps precede each target.

    targets="paper": the steps 1 … N−1 of a solution of N steps are targets, so these are 0 … N−2.
    The last step is never a target, and a one-step solution has none. targets="all": also the last.
    An episode draws its trajectory later, so only steps that all trajectories have count.
    Source: SRL, arXiv:2510.25992, section 3.
    """
    if targets not in ("paper", "all"):
        raise BadOption(f"targets must be 'paper' or 'all'; got {targets!r}")
    lengths = [len(trajectory.steps) for trajectory in problem.trajectories]
    return range(min(lengths[0] - (targets == "paper"), *lengths) if lengths else 0)
