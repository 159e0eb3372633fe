"""``tokens``: Ratcliff–Obershelp over words, numbers and signs in place of characters.

Range: [0, 1], 1 if the tokens are equal; spaces do not count. Blind spots: a wrong number is one
wrong token of many, and a word in another form ("add", "adds") is another word.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence

import difflib_fast

from srl_env.rewards.record import TextMeasure

MAX_TOKENS = 2_000
"""How many tokens of each text are compared; the rest counts as different."""

TOKEN = re.compile(r"[^\W\d_]+|\d+(?:[.,]\d+)*|\S")
_FIRST = 0x100  # of the characters that stand for tokens; 2 × MAX_TOKENS end before surrogates


def token_similarity(action: str, expert_action: str) -> float:
    """The similarity of an action to the expert's: 2M/T over their tokens; 0 for an empty text."""
    own, expert = TOKEN.findall(action), TOKEN.findall(expert_action)
    return sequence_similarity(own, expert) if own and expert else 0.0


def sequence_similarity(own: Sequence[Hashable], expert: Sequence[Hashable]) -> float:
    """2M/T: M items match in order, T are in both; 1 for two empty sequences.

    As ``difflib.SequenceMatcher(None, own, expert, autojunk=False).ratio()``, for at most
    ``MAX_TOKENS`` of each.
    """
    if own == expert:
        return 1.0
    characters: dict[Hashable, str] = {}
    texts = [
        "".join([characters.setdefault(t, chr(_FIRST + len(characters))) for t in ts[:MAX_TOKENS]])
        for ts in (own, expert)
    ]
    if not all(texts):
        return 0.0
    matched = round(difflib_fast.ratio(*texts) * (len(texts[0]) + len(texts[1])) / 2)
    return 2.0 * matched / (len(own) + len(expert))


TOKENS = TextMeasure(token_similarity)
