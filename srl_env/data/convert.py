"""Data of any form, written as canonical rows."""

from __future__ import annotations

from collections.abc import Callable

from srl_env.data.drops import DropReport
from srl_env.data.files.write import Writer
from srl_env.data.forms.detect import Reading
from srl_env.data.rows import BadRow
from srl_env.data.sources.source import OnBadRow
from srl_env.errors import BadData
from srl_env.problem import Problem

OnProgress = Callable[[int], None]
"""Called with the number of rows read."""


def convert(
    reading: Reading,
    writer: Writer,
    *,
    on_bad_row: OnBadRow = "drop",
    report: DropReport | None = None,
    on_progress: OnProgress | None = None,
) -> DropReport:
    """Writes all problems; returns how many were kept and dropped, and why.

    Problems without a split go to "train". A row with the id of an earlier one is a bad row.
    report: an existing report to count in. Memory: about 100 bytes per row, for the ids.
    Raises ``BadData`` for the first bad row if ``on_bad_row`` is "raise".
    """
    report = report or DropReport(", ".join(map(str, reading.stream.files[:3])))
    for rows, item in enumerate(reading.unique(), 1):
        try:
            if isinstance(item.problem, BadRow):
                raise item.problem
            _add(writer, item.problem, item.split or "train")
            report.kept += 1
        except BadRow as error:
            if on_bad_row == "raise":
                raise BadData(f"{reading.place(item)}: {error}") from error
            report.add(reading.place(item), error)
        if on_progress is not None and rows % 256 == 0:
            on_progress(rows)
    return report


def _add(writer: Writer, problem: Problem, split: str) -> None:
    try:
        writer.add(problem, split)
    except BadData as error:
        raise BadRow("metadata that are no JSON", str(error)) from error
