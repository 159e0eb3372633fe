"""Answers compared as numbers: GSM8K's ``#### 1,234`` and the ways people write it."""

from __future__ import annotations

from dataclasses import dataclass

from srl_env.errors import BadData
from srl_env.verifiers.answers import number_in
from srl_env.verifiers.base import AnswerVerifier, check_marker


@dataclass(frozen=True, slots=True)
class NumericVerifier(AnswerVerifier):
    """Correct if the text after the last ``marker`` is the answer's number.

    Numbers are compared exactly, as fractions: 0.5, .50, 1/2 and $0.5 are equal, 0.3333 and 1/3 are
    not. ``srl_env.verifiers.answers.number_in`` says what is read as a number. A missing unit is
    accepted, a different unit is not.
    """

    marker: str = "####"

    def __post_init__(self) -> None:
        check_marker(self.marker)

    def extract(self, text: str) -> str | None:
        """The text after the last marker on its line, or None."""
        _, found, rest = text.rpartition(self.marker)
        return (rest.strip().partition("\n")[0].strip() or None) if found else None

    def unreadable(self, expected: str) -> str | None:
        """The reason for an answer that is not a number."""
        return None if number_in(expected) else "not a number"

    def equal(self, answer: str, expected: str) -> bool:
        """Whether both are the same number; ``BadData`` if ``expected`` is not a number."""
        wanted = number_in(expected)
        if wanted is None:
            raise BadData(
                f"NumericVerifier needs an answer that is a number; got {expected[:80]!r}. Fix: "
                "correct the row, or choose StatedVerifier"
            )
        return wanted.equals(answer)
