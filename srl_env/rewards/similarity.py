"""How similar two steps are: Ratcliff–Obershelp over characters, as ``difflib`` computes it.

The longest common block is matched, then the text to its left and to its right, and so on. The
result equals ``difflib.SequenceMatcher(None, action, expert_action, autojunk=False).ratio()``, bit
for bit. ``difflib_fast`` computes it with suffix automata.

``MAX_CHARACTERS`` of each text are compared; the rest counts as different. Longer texts that repeat
themselves would take too long.
"""

from __future__ import annotations

import re

import difflib_fast
from cydifflib import SequenceMatcher

MAX_CHARACTERS = 10_000
MAX_SHOWN = 2_000
_SURROGATE = re.compile("[\ud800-\udfff]")


def step_similarity(action: str, expert_action: str) -> float:
    """The similarity of an action to the expert's: 2M/T in [0, 1], 1 for equal texts.

    Both are stripped first. M characters match; T is the number of characters in both together. The
    measure is not symmetric: the action comes first. An empty action scores 0, also against an
    empty expert action (``difflib`` returns 1).
    Takes at most about 0.2 s, for long texts of a few repeated letters.
    Source: SRL, arXiv:2510.25992, section 3, with autojunk off.
    """
    action, expert_action = action.strip(), expert_action.strip()
    if not action or not expert_action:
        return 0.0
    if action == expert_action:
        return 1.0
    return 2.0 * matched_characters(action, expert_action) / (len(action) + len(expert_action))


def matched_characters(a: str, b: str) -> int:
    """M: how many characters of ``a`` and ``b`` match, up to ``MAX_CHARACTERS`` of each."""
    a, b = a[:MAX_CHARACTERS], b[:MAX_CHARACTERS]
    if not a or not b:
        return 0
    try:
        ratio = difflib_fast.ratio(a, b)
    except UnicodeEncodeError:  # it does not take lone surrogates
        ratio = difflib_fast.ratio(_SURROGATE.sub(_stand_in, a), _SURROGATE.sub(_stand_in, b))
    return round(ratio * (len(a) + len(b)) / 2)


def _stand_in(surrogate: re.Match[str]) -> str:
    """Another character of private use for each surrogate."""
    return chr(ord(surrogate[0]) + 0x100000)


def matched_blocks(a: str, b: str) -> list[tuple[int, int, int]]:
    """The blocks that match, in order, for showing where two steps agree.

    Each is (i, j, size): a[i : i+size] equals b[j : j+size]. ``MAX_SHOWN`` characters of each text
    are compared.
    """
    # Lists, as cydifflib takes characters out of a string one by one: 20 % slower.
    matcher = SequenceMatcher(None, list(a[:MAX_SHOWN]), list(b[:MAX_SHOWN]), False)
    return [(i, j, size) for i, j, size in matcher.get_matching_blocks() if size]
