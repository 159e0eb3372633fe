"""Starts as rows of a data set, for trainers of others.

Such trainers take prompts, sample a group of completions for each, and pay a completion one
number. For the groups to be those of SRL, one row is one step: the prompt after k expert steps,
paid with the similarity to the next (``each="step"``). Where the policy's own steps are the
history, one row is one problem (``each="problem"``), paid with the episode's total.

A row says all that ``reset`` needs to begin there again, and never what the expert does there.
"""

from __future__ import annotations

import operator
import secrets
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, SupportsIndex, get_args

import srl_env
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadOption
from srl_env.problem import Targets, step_instances
from srl_env.rewards import Continuation, Granularity, get_reward_mode
from srl_env.rollout import EnvPool, Start
from srl_env.seeding import derive_seed
from srl_env.text.prompt import Message

Each = Literal["step", "problem"]
Maker = Callable[[], ReasoningEnv]

MOST_PROBLEMS = 100_000
"""Of a larger source (a generator) it must be said how many problems are wanted."""


class StepRewardsSpread(UserWarning):
    """Rewards of single steps are summed and paid to all tokens of their episode."""


class RowsDropped(UserWarning):
    """Some starts gave no row, or some rows are trained on in part."""


@dataclass(frozen=True, slots=True)
class Row:
    """A start and its prompt.

    problem: the index in the environment's source. seed: of the reset, the same for all rows of
    a problem, so that they follow the same expert.
    """

    problem: int
    problem_id: str
    start_step: int
    seed: int
    messages: tuple[Message, ...]

    def columns(self) -> dict[str, Any]:
        """The row without its prompt, JSON-safe."""
        return {
            "problem": self.problem,
            "problem_id": self.problem_id,
            "start_step": self.start_step,
            "seed": self.seed,
        }


@dataclass(frozen=True, slots=True)
class RowSettings:
    """Which rows there are, and how an episode from one of them goes.

    reward_mode, targets ("paper": no last steps), granularity, max_steps: as for ``reset`` and
    ``step_instances``. each: None is "step" for modes under which the expert's step enters the
    history, else "problem". granularity: of problem rows; None is "solution" where the
    environment has it, so that a row is one completion. problems: how many, from the first on;
    None for all. seed: of what is drawn at a reset, as which of several experts is followed.
    """

    reward_mode: str = "srl"
    each: Each | None = None
    targets: Targets = "paper"
    granularity: Granularity | None = None
    max_steps: int | None = None
    problems: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        mode = get_reward_mode(self.reward_mode)
        if self.each not in (None, *get_args(Each)):
            raise BadOption(f"each is 'step' or 'problem'; got {self.each!r}")
        if self.problems is not None and not _is_count(self.problems):
            raise BadOption(
                f"problems is a whole number, at least 1, or None for all; got {self.problems!r}"
            )
        if self.by_step and (self.granularity not in (None, "step") or self.max_steps is not None):
            raise BadOption(
                "a row of one step has granularity 'step' and max_steps 1; got "
                f"{self.granularity!r} and {self.max_steps!r}"
            )
        if not self.by_step and mode.default_continuation == "expert":
            raise BadOption(
                f"each='problem' with reward_mode={self.reward_mode!r}: the rewards of all steps "
                "would be summed and spread over all of their tokens, because a row is paid one "
                "number. Use each='step', which makes a row and a group of every step, or a mode "
                "for whole solutions ('holistic', 'rlvr')"
            )

    @property
    def by_step(self) -> bool:
        """Whether a row is one step."""
        if self.each is None:
            return get_reward_mode(self.reward_mode).default_continuation == "expert"
        return self.each == "step"

    @property
    def continuation(self) -> Continuation:
        """Whose step enters the history."""
        return "expert" if self.by_step else "policy"


class Rows:
    """The rows of an environment, and episodes from them.

    Listing ``rows``, which happens when they are first asked for, raises BadOption where there are
    none, or too many problems to list.
    """

    def __init__(
        self,
        env: str | Maker,
        settings: RowSettings,
        arguments: Mapping[str, Any] | None = None,
        adapt: Callable[[ReasoningEnv], None] | None = None,
    ) -> None:
        """env: an id or another name, made with ``arguments``; or a function that makes one.

        adapt: what is done to each environment that is made.
        """
        self._env, self._arguments, self._adapt = env, dict(arguments or {}), adapt
        self.pool = EnvPool(self.make)
        (first,) = self.pool.take(1)
        self.settings = _for_environment(settings, first)
        self.format = first.format

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """All rows, each prompt once."""
        return _listed(self.pool.take(1)[0], self)

    def make(self) -> ReasoningEnv:
        """A new environment; BadOption for anything but a ``ReasoningEnv``."""
        made = self._env() if callable(self._env) else srl_env.make(self._env, **self._arguments)
        env: object = getattr(made, "unwrapped", made)
        if not isinstance(env, ReasoningEnv):
            raise BadOption(
                f"{self._env!r} makes {type(env).__name__}; rows are of a srl_env.ReasoningEnv"
            )
        if self._adapt is not None:
            self._adapt(env)
        return env

    @property
    def one_completion(self) -> bool:
        """Whether an episode from a row is one completion."""
        return self.settings.by_step or self.settings.granularity == "solution"

    @property
    def stop(self) -> tuple[str, ...]:
        """The strings that end a completion."""
        return () if self.settings.granularity == "solution" else self.format.stop

    def options(self, problem: int, start_step: int) -> dict[str, Any]:
        """What ``reset`` is given to begin there."""
        settings = self.settings
        options = {
            "problem": problem,
            "start_step": start_step,
            "reward_mode": settings.reward_mode,
            "continuation": settings.continuation,
            "granularity": settings.granularity,
            "max_steps": 1 if settings.by_step else settings.max_steps,
        }
        return {name: value for name, value in options.items() if value is not None}

    def start(self, row: Row | Mapping[str, Any], group: int = 0) -> Start:
        """Where an episode from a row begins. row: or a mapping with its columns.

        Each has a copy number of its own, also in other processes, whose trainers do not say
        which sample of a row an episode is.
        """
        columns = row.columns() if isinstance(row, Row) else row
        options = self.options(int(columns["problem"]), int(columns["start_step"]))
        return Start({**options, "copy": secrets.randbits(63)}, int(columns["seed"]), group)


def _is_count(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        return False
    return operator.index(value) >= 1


def _for_environment(settings: RowSettings, env: ReasoningEnv) -> RowSettings:
    """The settings with the granularity that the environment's rows have."""
    if settings.by_step:
        return replace(settings, granularity="step")
    whole: Granularity = "solution" if "solution" in env.granularities else env.granularities[0]
    return replace(settings, granularity=settings.granularity or whole)


def _listed(env: ReasoningEnv, rows: Rows) -> tuple[Row, ...]:
    """All rows, each prompt once."""
    settings, source = rows.settings, env.problems
    if settings.problems is None and len(source) > MOST_PROBLEMS:
        raise BadOption(
            f"{source.name} has {len(source):,} problems; say how many are wanted: problems=1000"
        )
    found: dict[tuple[tuple[str, str], ...], Row] = {}
    twice = without = 0
    for problem in range(min(len(source), settings.problems or len(source))):
        steps = _start_steps(env, settings, problem)
        without += not steps
        seed = derive_seed("row", settings.seed, problem)
        for start_step in steps:
            _, info = env.reset(seed=seed, options=rows.options(problem, start_step))
            row = Row(problem, info["problem_id"], start_step, seed, tuple(info["messages"]))
            twice += found.setdefault(prompt_key(row.messages), row) is not row
    _tell(source.name, settings, len(found), twice, without)
    return tuple(found.values())


def prompt_key(messages: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, str], ...]:
    """What two prompts that are the same have in common."""
    return tuple((m["role"], m["content"]) for m in messages)


def _start_steps(env: ReasoningEnv, settings: RowSettings, index: int) -> list[int]:
    """The steps after which a row of this problem starts."""
    problem = env.problems[index]
    if not settings.by_step:
        needs_expert = get_reward_mode(settings.reward_mode).needs_expert
        return [] if needs_expert and not problem.trajectories else [0]
    shortest = min((len(way.steps) for way in problem.trajectories), default=0)
    starts = [instance.start_step for instance in step_instances(problem, settings.targets)]
    return [start for start in starts if start < shortest]


def _tell(name: str, settings: RowSettings, rows: int, twice: int, without: int) -> None:
    """Says what gave no row; raises BadOption where nothing did."""
    if not rows:
        raise BadOption(
            f"{name} gives no row: no problem has a step for targets={settings.targets!r}"
            if settings.by_step
            else f"{name} gives no row for reward_mode={settings.reward_mode!r}: it needs experts"
        )
    told = {
        "rows left out whose prompt another row has already": twice,
        "problems without a step to learn": without,
    }
    if any(told.values()):
        said = ", ".join(f"{count} {what}" for what, count in told.items() if count)
        warnings.warn(f"{name}: {rows} rows; {said}", RowsDropped, stacklevel=4)


def correct_of(info: Mapping[str, Any]) -> bool | None:
    """The verifier's word in the info of an episode's last step; None where there is none on what
    the policy did, as on a step in SRL."""
    verdict = info["verdict"]
    return None if verdict is None else bool(verdict["correct"])


def warn_of_spreading(paid: int, trainer: str) -> None:
    """Warns where several steps of one row were paid. paid: how many; trainer: its name."""
    if paid > 1:
        warnings.warn(
            f"up to {paid} steps of an episode were paid; {trainer} has one number for a row, so "
            "they are summed and the sum is paid to all tokens of the episode alike. For a reward "
            "of its own for each step use each='step'",
            StepRewardsSpread,
            stacklevel=3,
        )
