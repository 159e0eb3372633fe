"""A task that sampling alone hardly ever solves: four letters in the right order, one a step.

A random model of eight tokens opens a lock once in four thousand episodes, so a run with the
verifier's reward alone has nothing to learn from. The expert knows every combination.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from srl_env.data import ListSource
from srl_env.environment import ReasoningEnv
from srl_env.problem import ExpertStep, ExpertTrajectory, Problem
from srl_env.text.prompt import PromptStyle
from srl_env.verifiers.protocol import Verdict
from tests.srl_agents.letters import LETTERS, AnyText, Contains

STEPS = 4


class Plain(AnyText):
    """All of a completion is the action, the expert's too."""

    def render(self, step: ExpertStep) -> str:
        return step.action


class Locks(ReasoningEnv):
    """One lock for each letter: the letter itself, and the three after it.

    experts: how many of the locks have an expert. wrong: experts whose solution is wrong. steps: of
    every episode, whether its letters are right or wrong.
    """

    def __init__(
        self,
        experts: int = len(LETTERS),
        wrong: int = 0,
        steps: int = STEPS,
        **options: Any,
    ) -> None:
        words = [(LETTERS * 3)[i : i + steps] for i in range(len(LETTERS))]
        problems = [
            Problem(
                word[0],
                f"{word[0]}#",
                word,
                (ExpertTrajectory(tuple(map(ExpertStep, word[::-1] if i < wrong else word))),)
                if i < experts
                else (),
            )
            for i, word in enumerate(words)
        ]
        given = {"format": Plain(), "style": PromptStyle.bare(), "max_steps": steps}
        super().__init__(ListSource(problems, "locks"), Contains(), **given | options)

    def is_final(self, action: str) -> bool:
        return False

    def judge(self, actions: Sequence[str]) -> Verdict:
        word = "".join(actions)
        return Verdict(word == self.problem.answer, word)
