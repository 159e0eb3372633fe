"""What ``reset`` reads: the options of an episode, checked."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any, Literal, SupportsIndex, cast, get_args

import numpy as np

from srl_env.errors import BadOption, UnknownName
from srl_env.problem import ExpertStep, Problem, ProblemSource
from srl_env.rewards.record import Continuation, Granularity
from srl_env.rewards.registry import RewardMode, get_reward_mode

CONTINUATIONS: tuple[Continuation, ...] = get_args(Continuation)


GRANULARITIES: tuple[Granularity, ...] = get_args(Granularity)


OPTIONS = (
    "continuation",
    "copy",
    "granularity",
    "max_steps",
    "problem",
    "reward_mode",
    "start_step",
)


def read_options(
    options: Mapping[str, Any] | None, what: str = "options", further: Sequence[str] = ()
) -> Mapping[str, Any]:
    """The options of a reset; ``BadOption`` for what is no dictionary, ``UnknownName`` for a name
    that is neither in ``OPTIONS`` nor in ``further``."""
    if not isinstance(options, Mapping | None):
        raise BadOption(
            f"{what} is a dictionary of reset options, as {{'reward_mode': 'srl'}}; got "
            f"{type(options).__name__} {options!r:.60}"
        )
    known = (*OPTIONS, *further)
    for name in options or ():
        if name not in known:
            raise UnknownName("reset option", str(name), known)
    return options or {}


def read_mode(mode: object) -> RewardMode:
    if isinstance(mode, str):
        return get_reward_mode(mode)
    if hasattr(mode, "score") and hasattr(mode, "default_continuation"):
        return cast(RewardMode, mode)
    raise BadOption(f"reward_mode is a name or a RewardMode object; got {mode!r}")


def read_choice(name: str, value: Any, choices: tuple[Any, ...]) -> Any:
    """``value``, one of the choices, or None."""
    if value is None or value in choices:
        return value
    raise BadOption(f"{name} is {' or '.join(map(repr, choices))}; got {value!r}")


def read_count(name: str, value: object, least: int, what: str = "a whole number") -> int:
    """``value`` as an int; ``BadOption`` for what is none, and for one below ``least``."""
    if hasattr(value, "__index__") and not isinstance(value, bool):
        count = operator.index(cast(SupportsIndex, value))
        if count >= least:
            return count
    raise BadOption(f"{name} is {what}, at least {least}; got {value!r}")


def check_expert(
    problem: Problem,
    steps: tuple[ExpertStep, ...],
    mode: RewardMode,
    continuation: Literal["expert", "policy"],
    start_step: int,
) -> None:
    """Raises ``BadOption`` where an option asks for more of an expert than there is."""
    if start_step and start_step >= len(steps):
        raise BadOption(
            f"start_step {start_step} leaves nothing to do: the expert's solution of problem "
            f"{problem.id!r} has {len(steps)} steps, so start_step is at most "
            f"{max(0, len(steps) - 1)}"
        )
    if steps:
        return
    if mode.needs_expert:
        raise BadOption(
            f"reward mode {mode.name!r} compares with an expert, and problem {problem.id!r} has "
            "no expert trajectory; use e.g. reward_mode='rlvr'"
        )
    if continuation == "expert":
        raise BadOption(
            f"continuation 'expert' needs an expert trajectory, and problem {problem.id!r} has "
            "none; use continuation='policy'"
        )


def choose_problem(problems: ProblemSource, chosen: object, rng: np.random.Generator) -> Problem:
    """The problem asked for by id or index, else one drawn; draws in either case, so that
    the episode goes on alike."""
    if not len(problems):
        raise BadOption(f"the problem source {problems.name!r} is empty")
    index = int(rng.integers(len(problems)))
    if isinstance(chosen, str):
        index = problems.index_of(chosen)
    elif chosen is not None:
        index = read_count("problem", chosen, 0, "an id or an index")
        if index >= len(problems):
            raise BadOption(
                f"problem {index} does not exist: {problems.name!r} has problems "
                f"0 … {len(problems) - 1}"
            )
    problem = problems[index]
    if not isinstance(problem, Problem):
        raise BadOption(
            f"the problem source {problems.name!r} gave a {type(problem).__name__} for "
            f"index {index}; it gives srl_env.Problem objects"
        )
    return problem
