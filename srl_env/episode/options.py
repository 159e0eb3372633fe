"""The options of an episode, which ``reset`` reads and checks."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any, SupportsIndex, cast, get_args

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
    "hint",
    "max_steps",
    "measure",
    "native_tools",
    "problem",
    "reward_mode",
    "start_step",
)


def read_options(
    options: Mapping[str, Any] | None, what: str = "options", further: Sequence[str] = ()
) -> Mapping[str, Any]:
    """The options of a reset.

    Raises ``BadOption`` unless they are a dictionary, and ``UnknownName`` for a name that is
    neither in ``OPTIONS`` nor in ``further``.
    """
    if not isinstance(options, Mapping | None):
        raise BadOption(
            f"{what} must be a dictionary of reset options, as {{'reward_mode': 'srl'}}; got "
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
    raise BadOption(f"reward_mode must be a name or a RewardMode object; got {mode!r}")


def read_choice(name: str, value: Any, choices: tuple[Any, ...]) -> Any:
    """``value``, if it is one of the choices or None."""
    if value is None or value in choices:
        return value
    raise BadOption(f"{name} must be {' or '.join(map(repr, choices))}; got {value!r}")


def read_count(name: str, value: object, least: int, what: str = "a whole number") -> int:
    """``value`` as an int; ``BadOption`` for anything else, and below ``least``."""
    if hasattr(value, "__index__") and not isinstance(value, bool):
        count = operator.index(cast(SupportsIndex, value))
        if count >= least:
            return count
    raise BadOption(f"{name} must be {what}, at least {least}; got {value!r}")


def read_fraction(name: str, value: object) -> float:
    """``value`` as a float; ``BadOption`` for anything but a number from 0 to 1."""
    if isinstance(value, int | float | np.number) and not isinstance(value, bool):
        fraction = float(value)
        if 0 <= fraction <= 1:
            return fraction
    raise BadOption(f"{name} must be a fraction from 0 to 1; got {value!r}")


def read_flag(name: str, value: object) -> bool:
    """``value`` as a bool; ``BadOption`` for anything else."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    raise BadOption(f"{name} must be true or false; got {value!r}")


def check_expert(
    problem: Problem,
    steps: tuple[ExpertStep, ...],
    mode: RewardMode,
    continuation: Continuation,
    start_step: int,
) -> None:
    """Raises ``BadOption`` if an option needs more of an expert than there is."""
    if start_step and start_step >= len(steps):
        raise BadOption(
            f"start_step {start_step} leaves nothing to do: the expert's solution of problem "
            f"{problem.id!r} has {len(steps)} steps, so start_step is at most "
            f"{max(0, len(steps) - 1)}"
        )
    if not steps and mode.needs_expert:
        raise BadOption(
            f"reward mode {mode.name!r} compares with an expert, and problem {problem.id!r} has "
            "no expert trajectory; use e.g. reward_mode='rlvr'"
        )
    if not steps and continuation == "expert":
        raise BadOption(
            f"continuation 'expert' needs an expert trajectory, and problem {problem.id!r} has "
            "none; use continuation='policy'"
        )


def choose_problem(problems: ProblemSource, chosen: object, rng: np.random.Generator) -> Problem:
    """The problem with that id or index, else a drawn one.

    It draws in either case, so that the rest of the episode is the same.
    """
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
            f"the problem source {problems.name!r} must give srl_env.Problem objects; got a "
            f"{type(problem).__name__} for index {index}"
        )
    return problem
