"""Filters and changes of rows."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

from gridfile.errors import ColumnError, GridError
from gridfile.table import Table
from gridfile.types import Value

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "in": lambda value, given: value in given,
    "contains": lambda value, given: str(given).lower() in str(value).lower(),
}


def where(table: Table, name: str, comparison: str, given: Any) -> Table:
    """The rows whose value in a column compares so with a given one.

    Empty values match only ``== None``, and ``!=`` anything else.
    Raises ColumnError; GridError for an unknown comparison, or values that have no order.
    """
    if comparison not in _COMPARISONS:
        raise GridError(f"no comparison {comparison!r}; there are {', '.join(_COMPARISONS)}")
    values = table.column(name)
    try:
        kept = [index for index, value in enumerate(values) if _matches(value, comparison, given)]
    except TypeError:
        raise GridError(f"{name} cannot be compared with {given!r}") from None
    return table.take(kept)


def filter_rows(table: Table, test: Callable[[dict[str, Value]], bool]) -> Table:
    """The rows whose record passes a test."""
    kept = [index for index, record in enumerate(table.records()) if test(record)]
    return table.take(kept)


def add_column(table: Table, name: str, make: Callable[[dict[str, Value]], Value]) -> Table:
    """The table with a new last column made of each record; one of that name is replaced."""
    columns = dict(table.items())
    columns[name] = [make(record) for record in table.records()]
    return Table(columns)


def distinct(table: Table, names: Sequence[str] | None = None) -> Table:
    """The first row of those that are equal in some columns, in all where none are named."""
    keys = table.select(names if names is not None else table.names).rows()
    seen: set[tuple[Value, ...]] = set()
    kept = []
    for index, key in enumerate(keys):
        if key not in seen:
            seen.add(key)
            kept.append(index)
    return table.take(kept)


def fill_down(table: Table, name: str) -> Table:
    """The table with empty values of a column replaced by the one above."""
    filled: list[Value] = []
    last: Value = None
    for value in table.column(name):
        last = last if value is None else value
        filled.append(last)
    return add_to(table, name, filled)


def add_to(table: Table, name: str, values: Sequence[Value]) -> Table:
    """The table with a column set to values. Raises ColumnError for another length."""
    if len(values) != len(table) and table.names:
        raise ColumnError(f"{len(values)} values for {len(table)} rows")
    return Table({**dict(table.items()), name: list(values)})


def running_total(table: Table, name: str) -> list[int | float]:
    """The sums of a column up to each row; empty values add nothing. Raises GridError for texts."""
    totals: list[int | float] = []
    total: int | float = 0
    for value in table.column(name):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise GridError(f"{name} holds {value!r}, which is no number")
        total += 0 if value is None else value
        totals.append(total)
    return totals


def _matches(value: Value, comparison: str, given: Any) -> bool:
    if value is None or given is None:
        same = value is None and given is None
        return same if comparison == "==" else not same and comparison == "!="
    return _COMPARISONS[comparison](value, given)
