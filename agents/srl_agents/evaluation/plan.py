"""The problems of an evaluation, and where each of its episodes starts."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal, cast, overload

import numpy as np
from numpy.typing import NDArray

import srl_env
from srl_agents.runs.evaluation import EvalSettings
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadOption, SrlEnvError, UnknownName
from srl_env.problem import Problem, ProblemSource
from srl_env.rollout import Episode, Start
from srl_env.seeding import derive_seed, stream

Kind = Literal["sampled", "greedy", "forced", "forced_sampled"]
"""How an episode is made. The forced kinds start each step after the expert's own steps."""
SAMPLED: tuple[Kind, ...] = ("sampled", "forced_sampled")
FORCED: tuple[Kind, ...] = ("forced", "forced_sampled")

_NO_LIMIT = 1 << 30  # steps


def split_maker(
    env_id: str, arguments: Mapping[str, Any], split: str | None
) -> Callable[[], ReasoningEnv]:
    """Makes environments with that id and split, for ``evaluate``.

    split: None for the environment's own problems; ignored by an environment without splits.
    Raises UnknownName for the id or an argument. Raises BadOption for a value that cannot work, and
    for a split without problems; that message names the splits that have some.
    """
    taken = taken_split(env_id, arguments, split)
    return lambda: _make(env_id, arguments, taken)


def taken_split(env_id: str, arguments: Mapping[str, Any], split: str | None) -> str | None:
    """The split, or None for an environment without splits. Raises what ``split_maker`` does."""
    try:
        size = _size(env_id, arguments, split)
    except UnknownName as error:
        if not split or error.name != "split":
            raise
        size, split = _size(env_id, arguments, None), None
    if not size:
        raise BadOption(_no_problems(env_id, arguments, split))
    return split


def _make(env_id: str, arguments: Mapping[str, Any], split: str | None) -> ReasoningEnv:
    whole = {**arguments, **({"split": split} if split else {})}
    return cast(ReasoningEnv, srl_env.make(env_id, **whole).unwrapped)


def _size(env_id: str, arguments: Mapping[str, Any], split: str | None) -> int:
    """The number of problems."""
    with closing(_make(env_id, arguments, split)) as env:
        return len(env.problems)


def _no_problems(env_id: str, arguments: Mapping[str, Any], split: str | None) -> str:
    """The message for a split without problems: which splits have some."""
    if split is None:
        return f"{env_id} must have problems; got none. Fix: other data or other arguments"
    sizes: dict[str, int] = {}
    for name in ("train", "dev", "test", "all"):
        with suppress(SrlEnvError):  # no such split, or its data are not installed
            sizes[name] = _size(env_id, arguments, name)
    filled = [f"{name!r} ({size})" for name, size in sizes.items() if size]
    message = f"split must have problems; got {split!r} of {env_id}, which has none"
    if not filled:
        return f"{message}, nor has any other split. Fix: other data or other arguments"
    return f"{message}. Fix: a split with problems: {', '.join(filled)}"


def choose_problems(source: ProblemSource, settings: EvalSettings) -> Sequence[int]:
    """The indices of the problems to evaluate, in ascending order, without repeats."""
    size = len(source)
    if settings.problems >= size:
        return range(size)
    rng, drawn = stream("evaluation", source.name, settings.seed), np.empty(0, np.int64)
    while len(drawn) < settings.problems:  # sources may be too large for a permutation
        drawn = np.append(drawn, rng.integers(size, size=settings.problems))
        _, first = np.unique(drawn, return_index=True)
        drawn = drawn[np.sort(first)]  # without repeats, in the order of drawing
    return array("q", np.sort(drawn[: settings.problems]).tobytes())


@dataclass(frozen=True, slots=True)
class ChosenProblems(Sequence[Problem]):
    """Some problems of a source, each read when it is asked for."""

    source: ProblemSource
    indices: Sequence[int]

    def __len__(self) -> int:
        return len(self.indices)

    @overload
    def __getitem__(self, place: int) -> Problem: ...
    @overload
    def __getitem__(self, place: slice) -> ChosenProblems: ...
    def __getitem__(self, place: int | slice) -> Problem | ChosenProblems:
        """The problem at a place among the chosen ones."""
        if isinstance(place, slice):
            return ChosenProblems(self.source, self.indices[place])
        return self.source[self.indices[place]]


@dataclass(frozen=True, slots=True)
class Planned:
    """One episode of an evaluation: its number, and where it starts."""

    kind: Kind
    number: int
    start: Start


Finished = tuple[Planned, Episode]
"""A finished episode with its plan."""


Has = Callable[[range], NDArray[np.bool_]]
"""For each number whether the episode is there."""


@dataclass(frozen=True, slots=True)
class Block:
    """The episodes of one kind: ``copies`` of each problem, numbered from ``first``."""

    kind: Kind
    copies: int
    first: int
    problems: int

    def __len__(self) -> int:
        return self.problems * self.copies

    @property
    def numbers(self) -> range:
        """The numbers of all its episodes."""
        return range(self.first, self.first + len(self))

    def place(self, number: int) -> int:
        """The place of an episode's problem among the chosen ones."""
        return (number - self.first) // self.copies

    def group(self, place: int) -> range:
        """The numbers of the episodes of the problem at that place."""
        first = self.first + place * self.copies
        return range(first, first + self.copies)

    def some(self, has: Has) -> NDArray[np.bool_]:
        """For each problem whether some of its episodes are there."""
        return np.asarray(np.any(has(self.numbers).reshape(-1, self.copies), axis=1))

    def complete(self, has: Has) -> NDArray[np.bool_]:
        """For each problem whether all of its episodes are there."""
        return np.asarray(np.all(has(self.numbers).reshape(-1, self.copies), axis=1))

    def groups(self, wanted: NDArray[np.bool_]) -> Iterator[int]:
        """The numbers of the episodes of some problems, in order."""
        return (number for place in np.flatnonzero(wanted) for number in self.group(int(place)))


@dataclass(frozen=True, slots=True)
class Plan(Sequence[Planned]):
    """Every episode to run, by number; nothing of them is kept in memory.

    indices: of the problems in their source. The episodes of a kind, and of a problem in it, are
    neighbours.
    """

    indices: Sequence[int]
    settings: EvalSettings

    @property
    def blocks(self) -> list[Block]:
        """The kinds, in order."""
        settings, problems = self.settings, len(self.indices)
        kinds: list[tuple[Kind, int]] = [("sampled", settings.rollouts)]
        kinds += [("greedy", 1)] if settings.greedy else []
        if settings.similarity:
            kinds += [("forced", 1), ("forced_sampled", settings.rollouts)]
        firsts = accumulate((copies * problems for _, copies in kinds), initial=0)
        return [Block(*kind, first, problems) for kind, first in zip(kinds, firsts, strict=False)]

    def __len__(self) -> int:
        return sum(map(len, self.blocks))

    @overload
    def __getitem__(self, number: int) -> Planned: ...
    @overload
    def __getitem__(self, number: slice) -> list[Planned]: ...
    def __getitem__(self, number: int | slice) -> Planned | list[Planned]:
        """The episode of that number."""
        if isinstance(number, slice):
            return [self[one] for one in range(len(self))[number]]
        for block in self.blocks:
            if number in block.numbers:
                group, copy = block.place(number), (number - block.first) % block.copies
                start = _start(block.kind, self.indices[group], group, copy, self.settings)
                return Planned(block.kind, number, start)
        raise IndexError(f"the plan has {len(self)} episodes; there is no number {number}")


def _start(kind: Kind, index: int, group: int, copy: int, settings: EvalSettings) -> Start:
    forced = kind in FORCED
    options = {
        "problem": index,
        "reward_mode": "srl" if forced else "rlvr",
        "continuation": "expert" if forced else "policy",
        "granularity": "step" if forced else settings.granularity,
        "max_steps": _NO_LIMIT if forced else settings.max_steps,
        "copy": copy,
    }
    given = {name: value for name, value in options.items() if value is not None}
    seed = derive_seed("evaluation episode", settings.seed, index)
    return Start(
        given, seed, group, derive_seed("evaluation sampling", settings.seed, kind, index, copy)
    )
