"""Tables: reading them, and writing them as HTML or as aligned text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pagemill.escape import element
from pagemill.inline import render_inline

_DIVIDER_CELL = re.compile(r":?-{2,}:?|:-:")


@dataclass(frozen=True)
class Table:
    """aligned: "left", "right", "center" or "" by column; every row has as many cells."""

    header: tuple[str, ...]
    aligned: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def split_row(line: str) -> list[str]:
    """The cells of a line; outer bars are optional, ``\\|`` is a bar within a cell."""
    cells = [""]
    escaped = False
    for char in line.strip():
        if char == "|" and not escaped:
            cells.append("")
        elif char == "|":
            cells[-1] = cells[-1][:-1] + "|"
        else:
            cells[-1] += char
        escaped = char == "\\" and not escaped
    if cells and not cells[0].strip():
        cells = cells[1:]
    if cells and not cells[-1].strip():
        cells = cells[:-1]
    return [cell.strip() for cell in cells]


def is_divider(line: str) -> bool:
    """Whether a line is the one between the header and the rows of a table."""
    cells = split_row(line)
    return "|" in line and all(_DIVIDER_CELL.fullmatch(cell) for cell in cells) and bool(cells)


def alignment(cell: str) -> str:
    """What a divider's cell says: ``:--`` left, ``--:`` right, ``:-:`` center, ``---`` nothing."""
    left, right = cell.startswith(":"), cell.endswith(":")
    if left and right:
        return "center"
    if right:
        return "right"
    return "left" if left else ""


def read_table(lines: Sequence[str], start: int) -> tuple[Table, int]:
    """The table whose header is at `start`, and where it ends.

    Rows are cut or filled up to the width of the header.
    """
    header = split_row(lines[start])
    aligned = [alignment(cell) for cell in split_row(lines[start + 1])]
    rows = []
    position = start + 2
    while position < len(lines) and "|" in lines[position]:
        rows.append(tuple(_fit(split_row(lines[position]), len(header))))
        position += 1
    return Table(tuple(header), tuple(_fit(aligned, len(header))), tuple(rows)), position


def table_html(table: Table) -> str:
    """The table as HTML, its body left out where there are no rows."""
    parts = ["<thead>", _row_html("th", table.header, table.aligned), "</thead>"]
    if table.rows:
        parts.append("<tbody>")
        parts += [_row_html("td", row, table.aligned) for row in table.rows]
        parts.append("</tbody>")
    return element("table", "\n" + "\n".join(parts) + "\n")


def table_text(table: Table) -> str:
    """The table as text, its columns padded to the widest cell."""
    rows = [table.header, *table.rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(table.header))]
    lines = [_row_text(row, widths, table.aligned) for row in rows]
    lines.insert(1, "-+-".join("-" * width for width in widths))
    return "\n".join(lines)


def _fit(cells: list[str], width: int) -> list[str]:
    return (cells + [""] * width)[:width]


def _row_html(tag: str, cells: Sequence[str], aligned: Sequence[str]) -> str:
    made = [
        element(tag, render_inline(cell), align=side or None)
        for cell, side in zip(cells, aligned, strict=True)
    ]
    return element("tr", "".join(made))


def _row_text(cells: Sequence[str], widths: Sequence[int], aligned: Sequence[str]) -> str:
    padded = []
    for cell, width, side in zip(cells, widths, aligned, strict=True):
        if side == "right":
            padded.append(cell.rjust(width))
        elif side == "center":
            padded.append(cell.center(width))
        else:
            padded.append(cell.ljust(width))
    return " | ".join(padded).rstrip()
