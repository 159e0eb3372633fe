"""Tables as text."""

from __future__ import annotations

from datetime import date

from gridfile.table import Table
from gridfile.types import Value


def to_csv(table: Table, delimiter: str = ",") -> str:
    """The table as CSV text with a header; cells are quoted only where they must be."""
    rows = [table.names, *[[cell_text(value) for value in row] for row in table.rows()]]
    return "".join(delimiter.join(_quoted(cell, delimiter) for cell in row) + "\n" for row in rows)


def to_text(table: Table, most_rows: int = 20, widest: int = 30) -> str:
    """The table for people: columns aligned, numbers to the right, long cells and tables cut."""
    shown = table.head(most_rows)
    columns = []
    for name, values in shown.items():
        cells = [_cut(cell, widest) for cell in [name, *map(cell_text, values)]]
        width = max(map(len, cells))
        right = is_numeric(values)
        columns.append([cell.rjust(width) if right else cell.ljust(width) for cell in cells])
    lines = ["  ".join(cells).rstrip() for cells in zip(*columns, strict=True)]
    if len(table) > most_rows:
        lines.append(f"({len(table) - most_rows} more)")
    return "\n".join(lines)


def cell_text(value: Value) -> str:
    """A value as it is written: nothing for None, ``yes`` and ``no``, dates as 2024-05-31."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float):
        return f"{value:.10g}"
    return str(value)


def is_numeric(values: list[Value]) -> bool:
    """Whether there are values, and all that are there are numbers."""
    present = [value for value in values if value is not None]
    return bool(present) and all(
        isinstance(value, int | float) and not isinstance(value, bool) for value in present
    )


def _quoted(cell: str, delimiter: str) -> str:
    must = any(mark in cell for mark in (delimiter, '"', "\n")) or cell != cell.strip()
    return '"' + cell.replace('"', '""') + '"' if must else cell


def _cut(cell: str, widest: int) -> str:
    cell = cell.replace("\n", " ")
    return cell if len(cell) <= widest else cell[: widest - 1] + "…"
