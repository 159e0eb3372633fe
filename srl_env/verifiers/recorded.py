"""A verdict where there is nothing to execute: recorded trajectories without their repository."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from srl_env.errors import Failure
from srl_env.problem import Problem
from srl_env.text.tool_calls import CallError, ToolCall, parse_call
from srl_env.verifiers.protocol import Verdict


@dataclass(frozen=True, slots=True)
class RecordedCalls:
    """Right where the actions are the calls of one of the problem's trajectories.

    That is agreement with the record, not a solved issue: another way to mend the repository
    counts as wrong. ``details["same_calls"]`` is how many calls are those of the trajectory that
    agrees longest, from its beginning.
    """

    def extract(self, text: str) -> str | None:
        """The word "submit" for a call of that tool, which ends an episode; else None."""
        call = _call(text)
        return "submit" if call is not None and call.tool == "submit" else None

    def verify(self, problem: Problem, actions: Sequence[str]) -> Verdict:
        """The verdict on an episode's actions."""
        calls = [_call(action) for action in actions]
        same, right = 0, False
        for trajectory in problem.trajectories:
            expert = [_call(action) for action in trajectory.actions]
            agree = _agreeing(calls, expert)
            same = max(same, agree)
            right = right or agree == len(calls) == len(expert)
        answer = self.extract(actions[-1]) if actions else None
        return Verdict(right, answer, {"same_calls": same})

    def verify_many(
        self, items: Sequence[tuple[Problem, Sequence[str]]]
    ) -> list[Verdict | Failure]:
        """One verdict for each item, in order."""
        return [self.verify(problem, actions) for problem, actions in items]


def _call(action: str) -> ToolCall | None:
    try:
        return parse_call(action)
    except CallError:
        return None


def _agreeing(calls: Sequence[ToolCall | None], expert: Sequence[ToolCall | None]) -> int:
    """How many calls are the expert's, from the beginning."""
    pairs = enumerate(zip(calls, expert, strict=False))
    differ = (number for number, (own, other) in pairs if own is None or own != other)
    return next(differ, min(len(calls), len(expert)))
