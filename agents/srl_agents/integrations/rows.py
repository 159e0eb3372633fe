"""Episode starts as rows of a data set, for other trainers.

Such a trainer takes prompts, samples a group of completions for each, and gives a completion one
number. To get the groups of SRL, a row is one step (``each="step"``): the prompt after k expert
steps, rewarded with the similarity to the next one. If the policy's own steps are the history, a
row is one problem (``each="problem"``), rewarded with the episode's total.

A row holds what ``reset`` needs to start there again. It never shows the expert's next step.
"""

from __future__ import annotations

import asyncio
import secrets
import warnings
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Literal, get_args

import srl_env
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadOption, WorldFailure
from srl_env.lazy import optional_import
from srl_env.problem import Targets, start_steps
from srl_env.rewards import Continuation, Granularity, get_reward_mode
from srl_env.rollout import EnvPool, Start
from srl_env.seeding import derive_seed
from srl_env.text.prompt import Message, Messages

Each = Literal["step", "problem"]
Maker = Callable[[], ReasoningEnv]

COLUMNS = ("problem", "problem_id", "start_step", "seed")
MOST_PROBLEMS = 100_000
"""A larger source (a generator) needs an explicit number of problems."""


class StepRewardsSpread(UserWarning):
    """Rewards of single steps are summed and given to all tokens of their episode."""


class RowsDropped(UserWarning):
    """Some starts gave no row, or some rows are trained on in part."""


@dataclass(frozen=True, slots=True)
class Row:
    """A start and its prompt.

    problem: the index in the environment's source. seed: of the reset; all rows of a problem
    share it, so that they follow the same expert.
    """

    problem: int
    problem_id: str
    start_step: int
    seed: int
    messages: tuple[Message, ...]

    def columns(self) -> dict[str, Any]:
        """The row without its prompt, JSON-safe."""
        return {name: getattr(self, name) for name in COLUMNS}

    @property
    def text(self) -> str:
        """The contents of the messages, one after the other."""
        return "".join(message["content"] for message in self.messages)


@dataclass(frozen=True, slots=True)
class RowSettings:
    """Which rows there are, and how an episode from one of them runs.

    reward_mode, targets ("paper": no last steps), granularity, max_steps: as for ``reset`` and
    ``start_steps``. each: None is "step" for modes in which the expert's step enters the
    history, else "problem". granularity: of problem rows; None is "solution" if the environment
    has it, so that a row is one completion. problems: how many, from the first; None for all.
    """

    reward_mode: str = "srl"
    each: Each | None = None
    targets: Targets = "paper"
    granularity: Granularity | None = None
    max_steps: int | None = None
    problems: int | None = None

    def __post_init__(self) -> None:
        mode = get_reward_mode(self.reward_mode)
        if self.each not in (None, *get_args(Each)):
            raise BadOption(f"each must be 'step' or 'problem'; got {self.each!r}")
        if self.problems is not None and (type(self.problems) is not int or self.problems < 1):
            raise BadOption(
                f"problems must be a whole number of at least 1, or None for all; got"
                f" {self.problems!r}"
            )
        if self.by_step and (self.granularity not in (None, "step") or self.max_steps is not None):
            raise BadOption(
                "a row of one step must have granularity 'step' and no max_steps; got "
                f"{self.granularity!r} and {self.max_steps!r}"
            )
        if not self.by_step and mode.default_continuation == "expert":
            raise BadOption(
                f"each='problem' with reward_mode={self.reward_mode!r} would sum the rewards of "
                "all steps and spread the sum over all of their tokens. Fix: each='step', which "
                "makes a row and a group of every step, or a mode for whole solutions "
                "('holistic', 'rlvr')"
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

    @classmethod
    def split(cls, options: Mapping[str, Any]) -> tuple[RowSettings, dict[str, Any]]:
        """Settings of rows, and the other options: arguments of the environment."""
        names = {field.name for field in fields(cls)}
        settings = cls(**{name: value for name, value in options.items() if name in names})
        return settings, {name: v for name, v in options.items() if name not in names}


class Rows:
    """The rows of an environment, and episodes from them.

    The first use of ``rows`` lists them. It raises BadOption if there are none, or too many
    problems to list.
    """

    def __init__(
        self,
        env: str | Maker,
        settings: RowSettings,
        arguments: Mapping[str, Any] | None = None,
        adapt: Callable[[ReasoningEnv], None] | None = None,
    ) -> None:
        """env: an id or another name, made with ``arguments``; or a function without arguments.

        adapt: called with each new environment.
        """
        self._env, self._arguments, self._adapt = env, dict(arguments or {}), adapt
        if callable(env) and arguments:
            raise BadOption(
                f"unknown settings {sorted(arguments)}. Fix: pass them to the environment inside "
                "the function that makes it"
            )
        self._idle: list[ReasoningEnv] = []
        self.pool = EnvPool(self.make)
        (first,) = self.pool.take(1)
        if settings.by_step:
            granularity: Granularity = "step"
        else:
            known = first.granularities
            granularity = "solution" if "solution" in known else known[0]
        self.settings = replace(settings, granularity=settings.granularity or granularity)
        self.format = first.format
        if getattr(self.format, "max_thinking_tokens", None) is not None:
            raise BadOption(
                "other trainers sample thoughts of any length; got a format with"
                " max_thinking_tokens. Fix: leave format.max_thinking_tokens out"
            )
        if prefill := getattr(self.format, "prefill", ""):
            raise BadOption(
                f"other trainers write completions from their beginning; got a format with prefill"
                f" {prefill!r}. Fix: leave format.prefill empty"
            )

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """All rows, each prompt once."""
        return _listed(self.pool.take(1)[0], self)

    def dataset(self, *, chat: bool = True) -> Any:
        """A ``datasets.Dataset`` with one row per start.

        Columns: "prompt" (chat messages; their texts joined if ``chat`` is False), "problem",
        "problem_id", "start_step", "seed".
        """
        with optional_import("trl", "datasets"):
            from datasets import Dataset
        return Dataset.from_list(
            [
                {"prompt": list(row.messages) if chat else row.text, **row.columns()}
                for row in self.rows
            ]
        )

    def make(self) -> ReasoningEnv:
        """A new environment; BadOption for anything but a ``ReasoningEnv``."""
        made = self._env() if callable(self._env) else srl_env.make(self._env, **self._arguments)
        env: object = getattr(made, "unwrapped", made)
        if not isinstance(env, ReasoningEnv):
            raise BadOption(
                f"rows need a srl_env.ReasoningEnv; {self._env!r} makes {type(env).__name__}"
            )
        if self._adapt is not None:
            self._adapt(env)
        return env

    @contextmanager
    def borrowed(self) -> Iterator[ReasoningEnv]:
        """An environment that no other episode uses now."""
        env = self._idle.pop() if self._idle else self.make()
        try:
            yield env
        finally:
            self._idle.append(env)

    def close(self) -> None:
        """Closes the borrowed environments."""
        while self._idle:
            self._idle.pop().close()

    @property
    def one_completion(self) -> bool:
        """Whether an episode from a row is one completion."""
        return self.settings.by_step or self.settings.granularity == "solution"

    @property
    def stop(self) -> tuple[str, ...]:
        """The strings that end a completion."""
        return () if self.settings.granularity == "solution" else self.format.stop

    def options(self, problem: int, start_step: int) -> dict[str, Any]:
        """The options of ``reset`` that start there."""
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
        """The start of an episode. row: or a mapping with its columns.

        Each start has a random copy number, because other trainers do not say which sample of a
        row an episode is.
        """
        columns = row.columns() if isinstance(row, Row) else row
        options = self.options(int(columns["problem"]), int(columns["start_step"]))
        return Start({**options, "copy": secrets.randbits(63)}, int(columns["seed"]), group)


def _listed(env: ReasoningEnv, rows: Rows) -> tuple[Row, ...]:
    settings, source = rows.settings, env.problems
    if settings.problems is None and len(source) > MOST_PROBLEMS:
        raise BadOption(
            f"{source.name} has {len(source):,} problems. Fix: set how many, e.g. problems=1000"
        )
    found: dict[tuple[tuple[str, str], ...], Row] = {}
    twice = without = 0
    for problem in range(min(len(source), settings.problems or len(source))):
        steps = _start_steps(env, settings, problem)
        without += not steps
        seed = derive_seed("row", 0, problem)
        for start_step in steps:
            _, info = env.reset(seed=seed, options=rows.options(problem, start_step))
            row = Row(problem, info["problem_id"], start_step, seed, tuple(info["messages"]))
            twice += found.setdefault(prompt_key(row.messages), row) is not row
    _report(source.name, settings, len(found), twice, without)
    return tuple(found.values())


def prompt_key(messages: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, str], ...]:
    """A key that is equal for equal prompts."""
    return tuple((m["role"], m["content"]) for m in messages)


def _start_steps(env: ReasoningEnv, settings: RowSettings, index: int) -> list[int]:
    """The steps after which a row of this problem starts."""
    problem = env.problems[index]
    if not settings.by_step:
        needs_expert = get_reward_mode(settings.reward_mode).needs_expert
        return [] if needs_expert and not problem.trajectories else [0]
    return list(start_steps(problem, settings.targets))


def _report(name: str, settings: RowSettings, rows: int, twice: int, without: int) -> None:
    """Warns about starts that gave no row; raises BadOption if there is no row at all."""
    if not rows:
        raise BadOption(
            f"{name} gives no row: no problem has a step for targets={settings.targets!r}"
            if settings.by_step
            else f"{name} gives no row: reward_mode={settings.reward_mode!r} needs experts"
        )
    counts = {
        "rows dropped because another row has the same prompt": twice,
        "problems without a step to learn": without,
    }
    dropped = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    if dropped:
        warnings.warn(f"{name}: {rows} rows; {dropped}", RowsDropped, stacklevel=4)


def verdict_of(info: Mapping[str, Any]) -> bool | None:
    """The verifier's verdict after an episode's last step; None without one, as within SRL."""
    verdict = info["verdict"]
    return None if verdict is None else bool(verdict["correct"])


@dataclass(slots=True)
class SteppedEpisode:
    """An episode from a row: (reward, info) of each step. over: whether the environment ended it;
    terminated: whether it ended by itself."""

    steps: list[tuple[float, dict[str, Any]]]
    over: bool = False
    terminated: bool = False

    @property
    def total(self) -> float:
        """The sum of the rewards."""
        return sum(reward for reward, _ in self.steps)


async def run_episode(
    env: ReasoningEnv, start: Start, act: Callable[[Messages], Awaitable[str | None]]
) -> SteppedEpisode:
    """Steps an environment in threads until the episode is over.

    act: from the current prompt to a completion; None stops the episode.
    Raises a ``Failure`` if the infrastructure failed.
    """
    _, info = await asyncio.to_thread(env.reset, seed=start.seed, options=dict(start.options))
    episode = SteppedEpisode([])
    while not episode.over and (text := await act(info["messages"])) is not None:
        _, reward, terminated, truncated, info = await asyncio.to_thread(env.step, text)
        if failure := info.get("failure"):
            raise WorldFailure(f"{failure['type']}: {failure['message']}")
        episode.steps.append((reward, info))
        episode.over, episode.terminated = terminated or truncated, terminated
    return episode


def with_thought(content: str, thought: str | None) -> str:
    """A completion with the reasoning that a server or a chat template split off."""
    return content if not thought else f"<think>{thought}</think>{content}"


def warn_of_spreading(rewarded: int, trainer: str) -> None:
    """Warns if several steps of one row were rewarded. rewarded: how many; trainer: its name."""
    if rewarded > 1:
        warnings.warn(
            f"up to {rewarded} steps of an episode were rewarded; {trainer} has one number per "
            "row, so the sum is given to all tokens of the episode. Fix: each='step' gives each "
            "step its own reward",
            StepRewardsSpread,
            stacklevel=3,
        )
