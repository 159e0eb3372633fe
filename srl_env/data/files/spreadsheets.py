"""Rows of spreadsheets: CSV, TSV, and Excel's XLSX (extra "data").

The first row has the names of the columns. An empty cell counts as absent. A cell with a list or an
object in JSON, or a list in Python, becomes one; every other cell is a text.
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from srl_env.data.rows import BadRow, Row, list_in_text
from srl_env.errors import BadData, MissingExtra

Rows = Iterator[tuple[int, Row | BadRow]]
Note = Callable[[int], None]

_DELIMITERS: Final = (",", ";", "\t", "|")


def csv_rows(path: Path, note: Note) -> Rows:
    """(line, row) for each row of a CSV or TSV file in UTF-8; quoted cells may have line ends.

    The delimiter is comma, semicolon, tab or bar, whichever is most frequent in the first line.
    Raises ``BadData`` for any other file.
    """
    csv.field_size_limit(sys.maxsize)  # a solution may be long
    with path.open("rb") as raw, io.TextIOWrapper(raw, "utf-8-sig", newline="") as text:
        try:
            first = text.readline()
            text.seek(0)
            table = csv.reader(text, delimiter=max(_DELIMITERS, key=first.count), strict=True)
            names = _names(path, next(table, []))
            line = table.line_num + 1
            for cells in table:
                if any(cells):
                    yield line, _row(names, cells)
                line = table.line_num + 1
                note(raw.tell())
        except UnicodeDecodeError as error:
            raise BadData(
                f"{path}: not UTF-8 ({error.reason}). Fix: save the table as CSV UTF-8"
            ) from error
        except csv.Error as error:
            raise BadData(f"{path}:{table.line_num}: not a CSV table; {error}") from error


def xlsx_rows(path: Path, note: Note) -> Rows:
    """(number, row) for each row of the first sheet of an Excel file, numbered as Excel does."""
    try:
        from openpyxl import load_workbook
    except ImportError as error:
        raise MissingExtra("openpyxl", "data") from error
    try:
        book = load_workbook(path, read_only=True, data_only=True)
    except Exception as error:  # a damaged archive may raise anything
        raise BadData(f"{path}: not an XLSX file that can be read; {error}") from error
    try:
        sheet = book.worksheets[0]
        rows = sheet.iter_rows(values_only=True)
        names = _names(path, [_text(cell) for cell in next(rows, ())])
        for number, cells in enumerate(rows, 2):
            note(number)
            if any(cell is not None for cell in cells):
                yield number, _row(names, [_text(cell) for cell in cells])
    finally:
        book.close()


def _names(path: Path, cells: Sequence[str]) -> list[str]:
    names = [cell.strip() for cell in cells]
    while names and not names[-1]:
        names.pop()
    twice = sorted({name for name in names if names.count(name) > 1})
    if not names or not all(names) or twice:
        found = f"twice {', '.join(twice)}" if twice else repr(cells)[:60]
        raise BadData(f"{path}: the first row must have a name for each column; got {found}")
    return names


def _row(names: Sequence[str], cells: Sequence[str]) -> Row | BadRow:
    if any(cells[len(names) :]):
        return BadRow(
            "more cells than columns",
            f"got {len(cells)} for {len(names)}. Fix: quote cells that contain the delimiter",
        )
    filled = zip(names, cells, strict=False)
    return {name: _value(cell) for name, cell in filled if cell.strip()}


def _value(cell: str) -> Any:
    """The list or object that a cell holds, else its text."""
    found = list_in_text(cell) if cell.lstrip()[:1] in ("[", "{") else None
    return found if isinstance(found, list | dict) else cell


def _text(cell: object) -> str:
    """A cell of Excel as text; 3.0 is 3, as Excel shows it."""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return "" if cell is None else str(cell)
