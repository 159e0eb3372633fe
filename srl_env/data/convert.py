"""From any form to ours: what is read, written row by row."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Mapping
from functools import partial

from srl_env.data.forms import Item, Reading, split_of_item
from srl_env.data.report import DropReport
from srl_env.data.rows import BadRow
from srl_env.data.source import OnBadRow
from srl_env.data.write import Writer
from srl_env.errors import BadData

OnProgress = Callable[[int], None]
"""Called with the number of rows read."""


def convert(
    reading: Reading,
    writer: Writer,
    *,
    shares: Mapping[str, float] | None = None,
    on_bad_row: OnBadRow = "drop",
    report: DropReport | None = None,
    on_progress: OnProgress | None = None,
) -> DropReport:
    """Writes all problems; what was kept and what was left out, and why.

    shares: the splits to make; by default those the files are, and "train" for others. Ids are
    made unique: a row with the id of an earlier one is a bad row. report: counts there.
    Memory: some 16 bytes for each row, for the ids. Raises ``BadData`` for the first bad row
    where ``on_bad_row`` is "raise".
    """
    report = report or DropReport(", ".join(map(str, reading.stream.files[:3])))
    ids = _Ids()
    for rows, item in enumerate(reading, 1):
        error = _write(item, writer, shares, ids)
        if error is None:
            report.kept += 1
        elif on_bad_row == "raise":
            raise BadData(f"{reading.place(item)}: {error}") from error
        else:
            report.add(error.reason, partial("{}: {}".format, reading.place(item), error))
        if on_progress is not None and rows % 256 == 0:
            on_progress(rows)
    return report


def _write(
    item: Item, writer: Writer, shares: Mapping[str, float] | None, ids: _Ids
) -> BadRow | None:
    """Writes an item; what is wrong with it, where it cannot be."""
    if isinstance(item.problem, BadRow):
        return item.problem
    if not ids.add(item.problem.id):
        return BadRow("the id of an earlier row", f"{item.problem.id!r:.80}; ids are unique")
    named_by_file = shares is None and item.split is None
    split = "train" if named_by_file else split_of_item(item, shares)
    try:
        writer.add(item.problem, split)
    except BadData as error:
        return BadRow("metadata that are no JSON", str(error))
    return None


class _Ids:
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
