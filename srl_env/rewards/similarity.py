"""How alike two steps are: Ratcliff–Obershelp over characters, as ``difflib`` computes it.

The longest common block is matched, then what lies left of it and right of it, and so on.
The result is bit-equal to
``difflib.SequenceMatcher(None, action, expert_action, autojunk=False).ratio()`` as long as
two limits are kept, which only very long or hostile texts exceed:

- ``MAX_CHARACTERS`` of each text are compared; the rest counts as different.
- ``BUDGET_NS`` of estimated work is spent. Both texts must repeat themselves a great deal
  to need more (``"a" * 5000`` against ``"aab" * 1700``; ``difflib`` takes minutes). What is
  then still unmatched is matched character by character from the left, each with the next
  equal one. The estimate counts operations, not time: the same pair scores the same always.

Steps of usual length go to ``difflib_fast``, whose suffix automata cost at worst some 5 ns for
each pair of characters. It says how much matches but not where, and has no limit of its own.
Where the blocks are asked for, and for texts too long for it, texts are split here: each split
is one longest common block, found by whatever is cheapest, the halves do not depend on each
other, and ``cydifflib`` matches what is left once that is small.

Common beginnings and ends are not stripped first: that would change the result
("ab" against "acab" shares "ab", not "a").
"""

from __future__ import annotations

import difflib_fast
import numpy as np
from cydifflib import SequenceMatcher

Block = tuple[int, int, int]

MAX_CHARACTERS = 10_000
BUDGET_NS = 50_000_000

# Areas are products of two lengths; where one way of matching overtakes another was measured
# by benchmarks/similarity.py.
_AUTOMATON_AREA = 10_000_000
_SMALL_AREA = 20_000
_PLAIN_AREA = 200_000
_SCAN_AREA = 4_000_000
_LONG_BLOCK = 8


def step_similarity(action: str, expert_action: str) -> float:
    """How alike an action is to the expert's: 2M/T in [0, 1], 1 for equal texts.

    Both are stripped first. M characters match, T there are in both together. The measure
    is not symmetric: the action comes first. An empty action scores 0, also against an
    empty expert action, where ``difflib`` says 1.
    Takes at most about 0.1 s, whatever the texts; see the module for the limits.
    Source: SRL, arXiv:2510.25992, section 3, with autojunk off.
    """
    action, expert_action = action.strip(), expert_action.strip()
    if not action or not expert_action:
        return 0.0
    if action == expert_action:
        return 1.0
    return 2.0 * matched_characters(action, expert_action) / (len(action) + len(expert_action))


def matched_characters(a: str, b: str) -> int:
    """M: how many characters of ``a`` and ``b`` match; the limits are those of the module."""
    a, b = a[:MAX_CHARACTERS], b[:MAX_CHARACTERS]
    if not a or not b:
        return 0
    if len(a) * len(b) <= _AUTOMATON_AREA:
        try:
            return round(difflib_fast.ratio(a, b) * (len(a) + len(b)) / 2)
        except UnicodeEncodeError:  # lone surrogates, which it does not take
            pass
    return sum([size for _, _, size in _Splitter(a, b).blocks()])


def matched_blocks(a: str, b: str) -> list[Block]:
    """The blocks whose characters ``matched_characters`` counts, in order.

    Each is (i, j, size): a[i : i+size] is b[j : j+size]. For showing where two steps agree.
    """
    a, b = a[:MAX_CHARACTERS], b[:MAX_CHARACTERS]
    if len(a) * len(b) <= _SMALL_AREA:
        return sorted(_blocks_small(a, b))
    return sorted(_Splitter(a, b).blocks())


class _Splitter:
    """Two texts, split at their longest common blocks until the rest is small.

    A rectangle (alo, ahi, blo, bhi, longest) is a[alo:ahi] and b[blo:bhi], still to be
    matched, with the size of the block they were split off from: theirs is no longer.
    """

    def __init__(self, a: str, b: str) -> None:
        self.a, self.b = a, b
        self.budget_ns = BUDGET_NS
        self.pairs: _PairFinder | None = None

    def blocks(self) -> list[Block]:
        """The matching blocks, in no order."""
        longest = _LONG_BLOCK if _share_long_block(self.a, self.b) else 0
        rest = [(0, len(self.a), 0, len(self.b), longest)]
        matched: list[Block] = []
        while rest:
            alo, ahi, blo, bhi, longest = rest.pop()
            block = self._longest_block(alo, ahi, blo, bhi, longest)
            if block is None:
                found = self._finish(alo, ahi, blo, bhi)
                matched += [(alo + i, blo + j, size) for i, j, size in found]
                continue
            i, j, size = block
            matched.append(block)
            if alo < i and blo < j:
                rest.append((alo, i, blo, j, size))
            if i + size < ahi and j + size < bhi:
                rest.append((i + size, ahi, j + size, bhi, size))
        return matched

    def _longest_block(
        self, alo: int, ahi: int, blo: int, bhi: int, longest: int
    ) -> tuple[int, int, int] | None:
        """Where to split next: (i, j, size), or None where splitting does not pay or is over."""
        area = (ahi - alo) * (bhi - blo)
        if self.budget_ns < 0 or area <= (_SMALL_AREA if longest >= _LONG_BLOCK else _PLAIN_AREA):
            return None
        if longest >= _LONG_BLOCK and area <= _SCAN_AREA:
            self.budget_ns -= area
            i, j, size = _scan(self.a[alo:ahi], self.b[blo:bhi])
            return (i + alo, j + blo, size) if size else None
        self.pairs = self.pairs or _PairFinder(self.a, self.b)
        self.budget_ns -= self.pairs.cost_ns(ahi - alo, bhi - blo)
        return self.pairs.find(alo, ahi, blo, bhi) if self.budget_ns >= 0 else None

    def _finish(self, alo: int, ahi: int, blo: int, bhi: int) -> list[Block]:
        """The matching blocks of a rectangle that is not to be split, counted from its corner."""
        area = (ahi - alo) * (bhi - blo)
        self.budget_ns -= 10 * area
        if self.budget_ns < 0 or area > _PLAIN_AREA:
            # Without budget an approximation; with it no common block is longer than one
            # character, and then it is exact.
            return _blocks_greedy(self.a[alo:ahi], self.b[blo:bhi])
        return _blocks_small(self.a[alo:ahi], self.b[blo:bhi])


def _blocks_small(a: str, b: str) -> list[Block]:
    # Lists, as cydifflib takes characters out of a string one by one: 20 % slower.
    blocks = SequenceMatcher(None, list(a), list(b), False).get_matching_blocks()
    return [(i, j, size) for i, j, size in blocks if size]


def _blocks_greedy(a: str, b: str) -> list[Block]:
    """Matches each character of ``a`` with the next equal one in ``b``."""
    blocks: list[Block] = []
    start = 0
    for i, character in enumerate(a):
        found = b.find(character, start) + 1
        if found:
            blocks.append((i, found - 1, 1))
            start = found
    return blocks


def _share_long_block(a: str, b: str) -> bool:
    """Whether one in a row of ``_LONG_BLOCK`` long pieces of ``a`` is in ``b``."""
    last = len(a) - _LONG_BLOCK
    return any(a[i : i + _LONG_BLOCK] in b for i in range(0, last + 1, _LONG_BLOCK))


def _scan(a: str, b: str) -> tuple[int, int, int]:
    """The longest common block (i, j, size): the first in ``a``, then the first in ``b``.

    A block longer than the best so far that starts in a[i : i+skip+1] covers a[i+skip : i+longer];
    where that piece is not in ``b``, all these starts are passed over at once.
    """
    best_i = best_j = best = i = 0
    while i + best < len(a):
        longer = best + 1
        skip = longer - ((longer + 1) // 2)
        if a[i + skip : i + longer] not in b:
            i += skip + 1
            continue
        last = min(i + skip, len(a) - longer)
        while i <= last:
            j = b.find(a[i : i + longer])
            if j >= 0:
                best_i, (best_j, best) = i, _extend(a, b, i, j, longer)
                i += 1
                break
            i += 1
    return best_i, best_j, best


def _extend(a: str, b: str, i: int, j: int, size: int) -> tuple[int, int]:
    """The longest block that starts at a[i], given that a[i:i+size] is first found at b[j]."""
    while True:
        size += _common_prefix(a, b, i + size, j + size)
        if i + size == len(a):
            return j, size
        further = b.find(a[i : i + size + 1], j + 1)
        if further < 0:
            return j, size
        j, size = further, size + 1


def _common_prefix(a: str, b: str, i: int, j: int) -> int:
    """How many characters a[i:] and b[j:] have in common at their beginnings."""
    size, step = 0, 1
    while step:
        piece = a[i + size : i + size + step]
        if len(piece) == step and b.startswith(piece, j + size):
            size += step
            step *= 2
        else:
            step //= 2
    return size


class _PairFinder:
    """Longest common blocks of at least two characters, found as runs of equal pairs.

    A block of n characters is a run of n−1 equal pairs of neighbours that starts at the same
    place, and pairs are some ten times rarer than characters, which is what costs time.
    """

    def __init__(self, a: str, b: str) -> None:
        pairs_a, pairs_b = _pairs(a), _pairs(b)
        matcher = SequenceMatcher(None, pairs_a, pairs_b, False)
        self._find = matcher.find_longest_match
        where = matcher.b2j
        self._equal_pairs = sum([len(where[pair]) for pair in pairs_a if pair in where])

    def find(self, alo: int, ahi: int, blo: int, bhi: int) -> tuple[int, int, int] | None:
        """The longest block (i, j, size) of a[alo:ahi] and b[blo:bhi]; None if it is below 2."""
        i, j, size = self._find(alo, ahi - 1, blo, bhi - 1)
        return (i, j, size + 1) if size else None

    def cost_ns(self, rows: int, columns: int) -> int:
        """An upper estimate of what ``find`` takes."""
        return 5 * min(self._equal_pairs, rows * columns) + rows * (100 + columns // 7)


def _pairs(text: str) -> list[int]:
    """Each pair of neighbouring characters as one number; len(text) − 1 of them."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.int64)
    pairs: list[int] = (codes[:-1] << 21 | codes[1:]).tolist()
    return pairs
