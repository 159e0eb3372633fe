"""The tiny task of ``letters`` with thoughts: the first two letters of a completion are one."""

from __future__ import annotations

from typing import Any

from srl_env.problem import ExpertStep
from srl_env.text.format import ParsedStep, ThinkTags
from tests.srl_agents.letters import Letters


class Halves(ThinkTags):
    """Two characters of thought, then the action; always in the right form."""

    instructions = ""

    def parse(self, text: str) -> ParsedStep:
        return ParsedStep(text[:2], text[2:].strip(), True)

    def render(self, step: ExpertStep) -> str:
        return f"{step.thought or ''}{step.action}"


class ThinkingLetters(Letters):
    """Letters, written after two letters of thought."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"format": Halves()} | options)
