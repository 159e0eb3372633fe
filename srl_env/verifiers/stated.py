r"""Answers of any kind, after ``####`` or in ``\boxed{…}``: numbers as numbers, texts as texts."""

from __future__ import annotations

import re
from dataclasses import dataclass

from srl_env.verifiers.base import AnswerVerifier
from srl_env.verifiers.boxed import last_boxed
from srl_env.verifiers.numeric import NumericVerifier, number_in

_ONLY_A_NUMBER = re.compile(r"[-+−$€£\s]*[\d.,]+(\s*/\s*\d+)?\s*%?")
_MOST_CHARACTERS = 200  # of an answer that may be a number


@dataclass(frozen=True, slots=True)
class StatedVerifier(AnswerVerifier):
    r"""Right if the answer after the last ``####``, or else in the last ``\boxed{…}``, is equal.

    Where the expected answer is a number, the number that the stated one begins with must equal
    it exactly, as in ``NumericVerifier``. Other answers are compared as texts, without regard to
    case, kinds and amounts of white space, and a full stop at the end. For data whose answers
    are of many kinds; mathematics with symbols is for ``BoxedVerifier``.
    """

    def extract(self, text: str) -> str | None:
        r"""What stands after the last ``####`` on its line, or else in the last box."""
        return NumericVerifier().extract(text) or last_boxed(text) or None

    def equal(self, answer: str, expected: str) -> bool:
        """Whether the two are the same number, or the same text."""
        short = len(expected) <= _MOST_CHARACTERS
        if short and _ONLY_A_NUMBER.fullmatch(expected.strip()):
            wanted = number_in(expected)
            if wanted is not None:
                return number_in(answer) == wanted
        return _plain(answer) == _plain(expected)


def _plain(text: str) -> str:
    return " ".join(text.casefold().split()).rstrip(". ")
