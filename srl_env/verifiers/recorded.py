"""A verdict without execution: recorded trajectories without their repository."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from srl_env.errors import Failure
from srl_env.problem import Problem
from srl_env.text.tool_calls import CallError, ToolCall, parse_call
from srl_env.verifiers.protocol import Verdict


@dataclass(frozen=True, slots=True)
class RecordedCalls:
    """Correct if the actions are the calls of one of the problem's trajectories.

    This is agreement with the record, not a solved issue: another way to fix the repository is
    wrong. ``details["same_calls"]`` is the largest number of first calls that agree with a
    trajectory.
    """

    def extract(self, text: str) -> str | None:
        """The word "submit" for a call of that tool, which ends an episode, else None."""
        call = _call(text)
        return "submit" if call is not None and call.tool == "submit" else None

    def verify(self, problem: Problem, actions: Sequence[str]) -> Verdict:
        """The verdict on an episode's actions."""
        calls = [_call(action) for action in actions]
        experts = [[_call(action) for action in way.actions] for way in problem.trajectories]
        same = [_agreeing(calls, expert) for expert in experts]
        correct = any(
            agree == len(calls) == len(expert) for agree, expert in zip(same, experts, strict=True)
        )
        answer = self.extract(actions[-1]) if actions else None
        return Verdict(correct, answer, {"same_calls": max(same, default=0)})

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
    pairs = enumerate(zip(calls, expert, strict=False))
    differ = (number for number, (own, other) in pairs if own is None or own != other)
    return next(differ, min(len(calls), len(expert)))
