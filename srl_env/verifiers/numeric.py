"""Answers compared as numbers: GSM8K's ``#### 1,234`` and the ways people write it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from srl_env.errors import BadData
from srl_env.verifiers.base import AnswerVerifier

MAX_DIGITS = 60

# Sign, currency, digits with or without thousands, decimals or a denominator, percent.
_NUMBER = re.compile(
    r"""(?P<sign>[-+−]?)\s*[$€£]?\s*(?P<sign2>[-+−]?)
        (?P<whole>\d{1,3}(?:,\d{3})+(?!\d)|\d*)(?:\.(?P<decimals>\d*))?
        (?:\s*/\s*(?P<below>\d+))?""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class NumericVerifier(AnswerVerifier):
    """Right if the number after the last ``marker`` equals the answer's.

    Numbers are compared exactly, as fractions: 0.5, .50, 1/2 and $0.5 are equal, 0.3333 and
    1/3 are not. A percent sign, units and a full stop after the number are passed over. A
    number of more than ``MAX_DIGITS`` digits or in exponent notation is no answer.
    """

    marker: str = "####"

    def extract(self, text: str) -> str | None:
        """What stands after the last marker on its line; None without a marker."""
        _, found, rest = text.rpartition(self.marker)
        return (rest.strip().partition("\n")[0].strip() or None) if found else None

    def equal(self, answer: str, expected: str) -> bool:
        """Whether both read as the same number; ``BadData`` if ``expected`` is none."""
        wanted = number_in(expected)
        if wanted is None:
            raise BadData(f"the answer {expected[:80]!r} is no number; NumericVerifier needs one")
        return number_in(answer) == wanted


def number_in(text: str) -> Fraction | None:
    """The number a text begins with, exactly; None where it begins with none."""
    found = _NUMBER.match(text.strip()[: 3 * MAX_DIGITS])
    if found is None or not (found["whole"] or found["decimals"]):
        return None
    rest = text.strip()[found.end() : found.end() + 3]
    whole, decimals = found["whole"].replace(",", ""), found["decimals"] or ""
    if re.match(r"[eE][-+]?\d|\s?[\d/]|,\d", rest) or len(whole) + len(decimals) > MAX_DIGITS:
        return None
    value = Fraction(int(whole or "0")) + Fraction(int(decimals or "0"), 10 ** len(decimals))
    if found["below"]:
        if len(found["below"]) > MAX_DIGITS or int(found["below"]) == 0:
            return None
        value /= int(found["below"])
    negative = "-" in (signs := (found["sign"] + found["sign2"]).replace("−", "-"))
    return -value if negative and signs.count("-") == 1 else value
