"""An environment under check: the problems that are tried, episodes of them, lines of its code."""

from __future__ import annotations

import inspect
import os
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium

from srl_env.environment import ReasoningEnv
from srl_env.episode.state import StepResult
from srl_env.problem import ExpertStep, Problem
from srl_env.rewards.registry import get_reward_mode, reward_modes

_OURS = Path(__file__).parents[1]
_FOREIGN = (_OURS, Path(gymnasium.__file__).parent)
_FEW_MODES = ("hybrid", "rlvr", "srl")
NONSENSE = ("hm", "", "\ud800 <think> (")


@dataclass(slots=True)
class Trial:
    """What a check is given.

    problems: the ids of the problems that are tried. hostile: how many hostile texts; seconds:
    how long a check may go on with them.
    """

    env: ReasoningEnv
    problems: list[str] = field(default_factory=list)
    hostile: int = 10_000
    seconds: float = 20.0

    def problem(self, problem_id: str) -> Problem:
        """The problem with that id, the answer included."""
        return self.env.problems[self.env.problems.index_of(problem_id)]

    def modes(self) -> list[str]:
        """The reward modes that are tried: all there are, in a slow world a few."""
        return list(_FEW_MODES) if self.env.slow_world else reward_modes()

    def begin(
        self, problem_id: str, mode: str, continuation: str | None, **options: Any
    ) -> tuple[str, dict[str, Any]] | None:
        """Starts an episode; None where it would need an expert that is not there.

        As many steps may be taken as the longest solution has.
        """
        steps = [len(way.steps) for way in self.problem(problem_id).trajectories]
        if not steps and (continuation == "expert" or get_reward_mode(mode).needs_expert):
            return None
        chosen: dict[str, Any] = {"problem": problem_id, "reward_mode": mode}
        if continuation is not None:
            chosen |= {"continuation": continuation, "granularity": "step"}
        return self.env.reset(
            seed=0, options={**chosen, "max_steps": max(steps, default=4)} | options
        )

    def expert_episode(self) -> Iterator[StepResult]:
        """The expert's steps until the episode ends."""
        while True:
            result = self.env.step(self.env.expert_completion())
            yield result
            if result[2] or result[3]:
                return

    def probe_episode(self) -> Iterator[StepResult]:
        """Good and bad steps in turn until the episode ends: the expert's, nonsense, nothing."""
        env = self.env
        nonsense: Sequence[str] = (env.format.render(ExpertStep(NONSENSE[0])), *NONSENSE[1:])
        for number in range(10_000):
            expert = number % 2 == 0 and env.step_index < len(env.expert_steps)
            completion = env.expert_completion() if expert else nonsense[number // 2 % 3]
            result = env.step(completion)
            yield result
            if result[2] or result[3]:
                return

    def line_of(self, hook: str) -> str | None:
        """Where the environment overrides a hook; for "verify" and "extract", the verifier."""
        owner: Any = self.env.verifier if hook in ("verify", "extract") else self.env
        return line_of(getattr(type(owner), hook, None))

    def place_of(self, problem_id: str) -> str | None:
        """Where the problem's row stands, for sources that know."""
        place = getattr(self.env.problems, "where", None)
        return None if place is None else str(place(self.env.problems.index_of(problem_id)))


def line_of(function: Callable[..., Any] | None) -> str | None:
    """ "file:line" where an author's function is defined; None for our own and for unknown ones."""
    code = getattr(inspect.unwrap(function), "__code__", None) if function is not None else None
    if code is None or Path(code.co_filename).is_relative_to(_OURS):
        return None
    return f"{_shown(code.co_filename)}:{code.co_firstlineno}"


def line_in(error: BaseException) -> str | None:
    """ "file:line" of the author's code that an exception came through last, else of any code."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not any(Path(f.filename).is_relative_to(p) for p in _FOREIGN)]
    chosen = (own or frames)[-1:]
    return f"{_shown(chosen[0].filename)}:{chosen[0].lineno}" if chosen else None


def short(text: str, length: int = 80) -> str:
    """A text as a message shows it: quoted, and cut where it is long."""
    return repr(text if len(text) <= length else text[: length - 3] + "...")


def _shown(file: str) -> str:
    """A path relative to this folder, if that is shorter."""
    try:
        return min(os.path.relpath(file), file, key=len)
    except ValueError:  # another drive
        return file
