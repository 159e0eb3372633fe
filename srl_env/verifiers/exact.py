"""Answers compared character by character."""

from __future__ import annotations

from dataclasses import dataclass

from srl_env.verifiers.base import AnswerVerifier, check_marker


@dataclass(frozen=True, slots=True)
class ExactVerifier(AnswerVerifier):
    """Correct if the text after the last ``marker`` is the answer, apart from surrounding blanks.

    end: closes the answer; without it the answer runs to the end of the line.
    """

    marker: str = "#"
    end: str = ";"

    def __post_init__(self) -> None:
        check_marker(self.marker)

    def extract(self, text: str) -> str | None:
        """The text after the last marker, up to ``end`` or the line's end, or None."""
        _, found, rest = text.rpartition(self.marker)
        if not found:
            return None
        line = rest.strip().partition("\n")[0]
        return (line.partition(self.end)[0] if self.end else line).strip() or None

    def equal(self, answer: str, expected: str) -> bool:
        """Whether the two are the same text."""
        return answer == expected.strip()
