r"""Answers of any kind, after ``####`` or in ``\boxed{…}``."""

from __future__ import annotations

from dataclasses import dataclass

from srl_env.verifiers.answers import prose, read_answer
from srl_env.verifiers.base import AnswerVerifier
from srl_env.verifiers.boxed import last_boxed
from srl_env.verifiers.numeric import NumericVerifier


@dataclass(frozen=True, slots=True)
class StatedVerifier(AnswerVerifier):
    r"""Correct if the answer after the last ``####``, or else in the last ``\boxed{…}``, is equal.

    The expected answer decides how they are compared: as a number with or without a unit, the
    letter of a choice, a list, a set in braces, or a text (``srl_env.verifiers.answers``). It is
    for data with many kinds of answers; use ``BoxedVerifier`` for mathematics with symbols.
    """

    def extract(self, text: str) -> str | None:
        r"""The text after the last ``####`` on its line, or else in the last box."""
        return NumericVerifier().extract(text) or last_boxed(text) or None

    def unreadable(self, expected: str) -> str | None:
        """The reason for a sentence."""
        return prose(expected)

    def equal(self, answer: str, expected: str) -> bool:
        """Whether the two mean the same."""
        return read_answer(expected).equals(answer)
