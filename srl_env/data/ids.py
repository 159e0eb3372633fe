"""Which ids were there already, where rows are read one after the other and none is kept."""

from __future__ import annotations

import hashlib
from array import array

from srl_env.data.rows import BadRow


def repeated(problem_id: str) -> BadRow:
    """What is wrong with a row whose id an earlier one has."""
    return BadRow(
        "the id of an earlier row",
        f"{problem_id!r:.80}; ids are unique, and several solutions of one problem are one row "
        'with "trajectories"',
    )


class IdSet:
    """A set of ids, 8 bytes for each place in a table that is at most two thirds full."""

    def __init__(self) -> None:
        self._table = array("Q", bytes(8 * 1024))
        self._count = 0

    def add(self, problem_id: str) -> bool:
        """Adds an id; False if it was there."""
        data = problem_id.encode("utf-8", "surrogatepass")
        value = int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little") or 1
        if not _put(self._table, value):
            return False
        self._count += 1
        if 3 * self._count > 2 * len(self._table):
            old, self._table = self._table, array("Q", bytes(16 * len(self._table)))
            for known in filter(None, old):
                _put(self._table, known)
        return True


def _put(table: array[int], value: int) -> bool:
    """Puts a value, not 0, into the next free place from its own on; False if it is there."""
    size = len(table)
    place = value % size
    while table[place]:
        if table[place] == value:
            return False
        place = (place + 1) % size
    table[place] = value
    return True
