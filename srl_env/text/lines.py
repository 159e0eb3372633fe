"""Steps of one line without a thought, the easiest format for an instruct model."""

from __future__ import annotations

from dataclasses import dataclass

from srl_env.problem import ExpertStep
from srl_env.text.format import CLOSE, OPEN, ParsedStep, without_thinking

_THINKS = (
    f"the format 'lines' has no thought; got {OPEN}. Fix: format = 'think-optional', or switch the"
    " model's thinking off"
)


@dataclass(frozen=True, slots=True)
class Lines:
    """A step is one line, and all of it is the action.

    A line ends where the model ends its turn or the line. Blank lines before it do not matter.
    """

    @property
    def instructions(self) -> str:
        """The format in words."""
        return "Each step is one line. Write what belongs to the solution and nothing else."

    @property
    def stop(self) -> tuple[str, ...]:
        """The end of the line."""
        return ("\n",)

    def parse(self, text: str) -> ParsedStep:
        """The text, stripped. It has several lines if one action is a whole solution."""
        body = text.strip()
        if OPEN in body or CLOSE in body:
            return ParsedStep(None, without_thinking(body), False, _THINKS)
        return ParsedStep(None, body, bool(body), None if body else "the action is empty")

    def render(self, step: ExpertStep) -> str:
        """The action alone."""
        return step.action
