"""From any form to ours: what is read, written row by row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from srl_env.data.drops import DropReport
from srl_env.data.files.write import Writer
from srl_env.data.forms.detect import Item, Reading, split_of_item
from srl_env.data.ids import IdSet, repeated
from srl_env.data.rows import BadRow
from srl_env.data.sources.source import OnBadRow
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
    ids = IdSet()
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
    item: Item, writer: Writer, shares: Mapping[str, float] | None, ids: IdSet
) -> BadRow | None:
    """Writes an item; what is wrong with it, where it cannot be."""
    if isinstance(item.problem, BadRow):
        return item.problem
    if not ids.add(item.problem.id):
        return repeated(item.problem.id)
    named_by_file = shares is None and item.split is None
    split = "train" if named_by_file else split_of_item(item, shares)
    try:
        writer.add(item.problem, split)
    except BadData as error:
        return BadRow("metadata that are no JSON", str(error))
    return None
