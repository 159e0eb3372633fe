"""Two tables made one."""

from __future__ import annotations

from collections.abc import Sequence

from gridfile.aggregate import group_indices
from gridfile.errors import ColumnError, GridError
from gridfile.table import Table
from gridfile.types import Value


def join(left: Table, right: Table, on: Sequence[str], how: str = "inner") -> Table:
    """The rows of two tables that are equal in the columns `on`, side by side.

    how: "inner" keeps what both have, "left" all rows of the left table, "full" all of both; what
    is missing is None. Empty keys never match. Other columns of the right table that the left one
    has too are named ``name_right``. Raises GridError, ColumnError.
    """
    if how not in ("inner", "left", "full"):
        raise GridError(f"no join {how!r}; there are inner, left, full")
    if not on:
        raise GridError("a join needs a column")
    others = [name for name in right.names if name not in on]
    matches = group_indices(right, on)
    left_rows, right_rows = (
        left.rows(),
        right.select(others).rows() if others else [()] * len(right),
    )
    rows: list[tuple[Value, ...]] = []
    used: set[int] = set()
    for key, row in zip(left.select(on).rows(), left_rows, strict=True):
        found = [] if None in key else matches.get(key, [])
        used.update(found)
        rows += [(*row, *right_rows[index]) for index in found]
        if not found and how != "inner":
            rows.append((*row, *[None] * len(others)))
    if how == "full":
        rows += _unmatched(left, right, on, right_rows, used)
    return Table.from_rows([*left.names, *_right_names(left, others)], rows)


def missing_keys(left: Table, right: Table, on: Sequence[str]) -> list[tuple[Value, ...]]:
    """The keys of the left table that the right one lacks, each once, in order."""
    known = group_indices(right, on)
    return [key for key in group_indices(left, on) if key not in known]


def stack(tables: Sequence[Table]) -> Table:
    """The rows of several tables below one another; columns that one lacks are None there."""
    names = list(dict.fromkeys(name for table in tables for name in table.names))
    columns: dict[str, list[Value]] = {name: [] for name in names}
    for table in tables:
        for name in names:
            known = name in table.names
            columns[name] += table.column(name) if known else [None] * len(table)
    return Table(columns)


def _right_names(left: Table, others: Sequence[str]) -> list[str]:
    names = [f"{name}_right" if name in left.names else name for name in others]
    taken = set(left.names) & set(names)
    if taken:
        raise ColumnError(f"a name twice: {sorted(taken)}")
    return names


def _unmatched(
    left: Table,
    right: Table,
    on: Sequence[str],
    right_rows: Sequence[tuple[Value, ...]],
    used: set[int],
) -> list[tuple[Value, ...]]:
    """The rows of the right table without a partner, with the key in the left one's columns."""
    rows = []
    for index, record in enumerate(right.records()):
        if index not in used:
            start = [record[name] if name in on else None for name in left.names]
            rows.append((*start, *right_rows[index]))
    return rows
