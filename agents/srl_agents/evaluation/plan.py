"""The problems of an evaluation, and where each of its episodes starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, overload

import srl_env
from srl_agents.runs.evaluation import EvalSettings
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadData, BadOption, SrlEnvError, UnknownName
from srl_env.problem import Problem, ProblemSource
from srl_env.rollout import Episode, Start
from srl_env.seeding import derive_seed, stream

Kind = Literal["sampled", "greedy", "forced", "forced_sampled"]
"""How an episode is made. The forced kinds start each step after the expert's own steps."""
SAMPLED: tuple[Kind, ...] = ("sampled", "forced_sampled")
FORCED: tuple[Kind, ...] = ("forced", "forced_sampled")

Key = tuple[str, int]
"""An episode's kind, and its place among those of the kind."""

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


def choose_problems(source: ProblemSource, settings: EvalSettings) -> list[int]:
    """The indices of the problems to evaluate, in ascending order, without repeats."""
    size = len(source)
    if settings.problems >= size:
        return list(range(size))
    rng, chosen = stream("evaluation", source.name, settings.seed), set[int]()
    while len(chosen) < settings.problems:  # sources may be too large for a permutation
        chosen.add(int(rng.integers(size)))
    return sorted(chosen)


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
    """One episode of an evaluation: its place among those of its kind, and where it starts."""

    kind: Kind
    place: int
    start: Start

    @property
    def key(self) -> Key:
        """The key that the episode is saved under."""
        return self.kind, self.place

    def check(self, saved: Episode, source: ProblemSource, path: Path) -> None:
        """Raises BadData if the saved episode is of another problem.

        This happens when the file of problems has changed since.
        """
        problem = source[cast(int, self.start.options["problem"])]
        if saved.problem_id != problem.id:
            raise BadData(
                f"{path}: the problem of episode {self.kind} {self.place} must be"
                f" {saved.problem_id!r}; got {problem.id!r} of {source.name}, whose problems have"
                " changed since. Fix: evaluate into another folder"
            )


Finished = tuple[Planned, Episode]
"""A finished episode with its plan."""


def plan_episodes(indices: Sequence[int], settings: EvalSettings) -> list[Planned]:
    """Every episode to run; the episodes of each problem are neighbours."""
    kinds: list[tuple[Kind, int]] = [("sampled", settings.rollouts)]
    kinds += [("greedy", 1)] if settings.greedy else []
    if settings.similarity:
        kinds += [("forced", 1), ("forced_sampled", settings.rollouts)]
    return [
        Planned(kind, group * copies + copy, _start(kind, index, group, copy, settings))
        for kind, copies in kinds
        for group, index in enumerate(indices)
        for copy in range(copies)
    ]


def group_by_problem(finished: Sequence[Finished]) -> dict[Kind, list[list[Episode]]]:
    """{kind: for each problem, its episodes}, in order."""
    found: dict[Kind, dict[int, list[Episode]]] = {}
    for planned, episode in finished:
        groups = found.setdefault(planned.kind, {})
        groups.setdefault(planned.start.group, []).append(episode)
    return {kind: list(groups.values()) for kind, groups in found.items()}


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
