"""``numbers``: the words must agree, and the numbers must have the same values in the same order.

The similarity of the numbers times that of all other tokens, both 2M/T as in ``tokens``. A step
with one wrong number out of n is worth at most 1 − 1/n. 1,000 and 1e3 are the same number.
Range: [0, 1]. Blind spots: 1/2 and 0.5 differ, as each number stands alone; in a long list one
wrong number costs little; numbers written as words are words.
"""

from __future__ import annotations

import re
from collections.abc import Hashable

from srl_env.rewards.measures.tokens import sequence_similarity
from srl_env.rewards.record import TextMeasure

_TOKEN = re.compile(
    r"(?P<number>(?:(?<![\w)\]}.,])-)?(?:[0-9]+(?:,[0-9]{3})*(?![0-9])(?:\.[0-9]+)?|\.[0-9]+)"
    r"(?:[eE][+-]?[0-9]{1,9}(?![\w.]))?)|[^\W\d_]+|\d+|\S"
)


def number_similarity(action: str, expert_action: str) -> float:
    """The similarity of the numbers × the similarity of the other tokens; 0 for an empty text.

    Where neither text has numbers, or nothing else, that factor is 1.
    """
    (own, words), (expert, expert_words) = _parts(action), _parts(expert_action)
    if not (own or words) or not (expert or expert_words):
        return 0.0
    numbers = sequence_similarity(own, expert)
    return numbers * sequence_similarity(words, expert_words) if numbers else 0.0


def _parts(text: str) -> tuple[list[Hashable], list[Hashable]]:
    """The values of the numbers in a text, and its other tokens."""
    numbers, words = list[Hashable](), list[Hashable]()
    for found in _TOKEN.finditer(text):
        if number := found["number"]:
            numbers.append(_value(number))
        else:
            words.append(found[0])
    return numbers, words


def _value(number: str) -> Hashable:
    """Equal for equal values: sign, digits, and exponent of the last digit. Never a huge number."""
    mantissa, _, exponent = number.replace(",", "").lower().partition("e")
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    digits = f"{whole}{fraction}".lstrip("0")
    short = digits.rstrip("0")
    power = int(exponent or 0) - len(fraction) + len(digits) - len(short)
    return (mantissa.startswith("-"), short, power) if short else 0


NUMBERS = TextMeasure(number_similarity)
