"""An environment under check: the problems that are tried, episodes of them, lines of its code."""

from __future__ import annotations

import inspect
import os
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium

from srl_env.check.report import Finding
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
    """What a check gets.

    hostile: how many hostile texts are tried; seconds: for how long at most. problems: the ids of
    the problems that are tried.
    """

    env: ReasoningEnv
    hostile: int
    seconds: float
    problems: list[str] = field(default_factory=list)

    def problem(self, problem_id: str) -> Problem:
        """The problem with that id, the answer included."""
        return self.env.problems[self.env.problems.index_of(problem_id)]

    def modes(self) -> list[str]:
        """The reward modes that are tried: all, or a few in a slow world."""
        return list(_FEW_MODES) if self.env.slow_world else reward_modes()

    def begin(
        self, problem_id: str, mode: str, continuation: str | None, **options: Any
    ) -> tuple[str, dict[str, Any]] | None:
        """Starts an episode; None if it would need a missing expert.

        It may take as many steps as the longest solution has.
        """
        steps = [len(way.steps) for way in self.problem(problem_id).trajectories]
        if not steps and (continuation == "expert" or get_reward_mode(mode).needs_expert):
            return None
        chosen: dict[str, Any] = {"problem": problem_id, "reward_mode": mode}
        if continuation is not None:
            chosen |= {"continuation": continuation, "granularity": "step"}
        chosen["max_steps"] = max(steps, default=4)
        return self.env.reset(seed=0, options=chosen | options)

    def expert_episode(self) -> Iterator[StepResult]:
        """The results of the expert's steps until the episode ends."""
        over = False
        while not over:
            yield (result := self.env.step(self.env.expert_completion()))
            over = result[2] or result[3]

    def probe_episode(self) -> Iterator[StepResult]:
        """The results of good and bad steps in turn: the expert's, nonsense, nothing."""
        env, over, number = self.env, False, 0
        nonsense: Sequence[str] = (env.format.render(ExpertStep(NONSENSE[0])), *NONSENSE[1:])
        while not over and number < 10_000:
            expert = number % 2 == 0 and env.step_index < len(env.expert_steps)
            yield (
                result := env.step(env.expert_completion() if expert else nonsense[number // 2 % 3])
            )
            over, number = result[2] or result[3], number + 1

    def finding(
        self, seen: str, expected: str, advice: str, *hooks: str, problem_id: str | None = None
    ) -> Finding:
        """A finding that points to the first of the hooks that the author wrote, or to the data."""
        places = [self.line_of(hook) for hook in hooks]
        if problem_id is not None and hasattr(self.env.problems, "where"):
            places.append(str(self.env.problems.where(self.env.problems.index_of(problem_id))))
        return Finding(seen, expected, advice, next(filter(None, places), None))

    def line_of(self, hook: str) -> str | None:
        """Where the environment overrides a hook; for "verify" and "extract", the verifier."""
        owner: Any = self.env.verifier if hook in ("verify", "extract") else self.env
        function = getattr(type(owner), hook, None)
        code = getattr(inspect.unwrap(function), "__code__", None) if function else None
        if code is None or Path(code.co_filename).is_relative_to(_OURS):
            return None
        return f"{_shown(code.co_filename)}:{code.co_firstlineno}"


def line_in(error: BaseException) -> str | None:
    """ "file:line" of the author's code that an exception passed last, else of any code."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not any(Path(f.filename).is_relative_to(p) for p in _FOREIGN)]
    chosen = (own or frames)[-1:]
    return f"{_shown(chosen[0].filename)}:{chosen[0].lineno}" if chosen else None


def short(text: str, length: int = 80) -> str:
    """A text as a message shows it: quoted, and cut if it is long."""
    return repr(text if len(text) <= length else text[: length - 3] + "...")


def _shown(file: str) -> str:
    """A path relative to this folder, if that is shorter."""
    try:
        return min(os.path.relpath(file), file, key=len)
    except ValueError:  # another drive
        return file
