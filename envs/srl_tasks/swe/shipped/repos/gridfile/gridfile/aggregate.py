"""Groups of rows, and their figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gridfile.errors import GridError
from gridfile.stats import mean, median, numbers_of
from gridfile.table import Table
from gridfile.types import Value


def _present(values: Sequence[Value]) -> list[Any]:
    return [value for value in values if value is not None]


FIGURES: dict[str, Callable[[Sequence[Value]], Value]] = {
    "sum": lambda values: sum(numbers_of(values)),
    "mean": mean,
    "median": median,
    "min": lambda values: min(_present(values), default=None),
    "max": lambda values: max(_present(values), default=None),
    "count": lambda values: len(_present(values)),
    "first": lambda values: next(iter(_present(values)), None),
    "unique": lambda values: len(set(_present(values))),
}


def group(table: Table, by: Sequence[str], figures: Mapping[str, str]) -> Table:
    """A row for each different key in the columns `by`, in the order they come, with figures.

    figures: column → one of sum, mean, median, min, max, count, first, unique; the new column has
    the name of the old one. Raises GridError for another figure, ColumnError.
    """
    for figure in figures.values():
        if figure not in FIGURES:
            raise GridError(f"no figure {figure!r}; there are {', '.join(FIGURES)}")
    members = group_indices(table, by)
    columns = {name: table.column(name) for name in figures}
    rows = []
    for key, indices in members.items():
        made = [
            FIGURES[figure]([columns[name][index] for index in indices])
            for name, figure in figures.items()
        ]
        rows.append((*key, *made))
    return Table.from_rows([*by, *figures], rows)


def group_indices(table: Table, by: Sequence[str]) -> dict[tuple[Value, ...], list[int]]:
    """The numbers of the rows of each key, keys in the order they come. Raises ColumnError."""
    keys = zip(*[table.column(name) for name in by], strict=True) if by else [()] * len(table)
    members: dict[tuple[Value, ...], list[int]] = {}
    for index, key in enumerate(keys):
        members.setdefault(key, []).append(index)
    return members


def count_by(table: Table, name: str) -> list[tuple[Value, int]]:
    """(value, how often) of a column, the most frequent first, then as they come; no empty ones."""
    counts: dict[Value, int] = {}
    for value in table.column(name):
        if value is not None:
            counts[value] = counts.get(value, 0) + 1
    return sorted(counts.items(), key=lambda item: -item[1])


def pivot(table: Table, row: str, column: str, value: str, figure: str = "sum") -> Table:
    """A table with a row for each value of one column and a column for each of another.

    Where no row of the table belongs there is None. Columns are sorted by their text.
    Raises ColumnError, GridError.
    """
    grouped = group(table, [row, column], {value: figure}).rows()
    heads = sorted({str(head) for _, head, _ in grouped})
    cells = {(key, str(head)): made for key, head, made in grouped}
    keys = list(dict.fromkeys(key for key, _, _ in grouped))
    rows = [(key, *[cells.get((key, head)) for head in heads]) for key in keys]
    return Table.from_rows([row, *heads], rows)


def share_of_total(table: Table, name: str) -> list[float | None]:
    """The part of each value in the sum of its column, with four digits. Raises GridError.

    None for empty values, and for all where the sum is zero.
    """
    values = table.column(name)
    total = sum(numbers_of(values))
    if total == 0:
        return [None] * len(values)
    return [None if value is None else round(value / total, 4) for value in values]  # type: ignore
