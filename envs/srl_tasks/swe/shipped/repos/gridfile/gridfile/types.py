"""What kind a column is, and its cells as values."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import date

from gridfile.errors import CellError

Value = int | float | bool | str | date | None

EMPTY = frozenset({"", "na", "n/a", "null", "none", "-"})
TRUE, FALSE = frozenset({"true", "yes"}), frozenset({"false", "no"})

_INTEGER = re.compile(r"[+-]?(0|[1-9]\d*|[1-9]\d{0,2}(,\d{3})+)")
_NUMBER = re.compile(r"[+-]?(\d+|\d{1,3}(,\d{3})+)(\.\d*)?(e[+-]?\d+)?|[+-]?\.\d+", re.IGNORECASE)
_DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})|(\d{1,2})\.(\d{1,2})\.(\d{4})")


def is_empty(cell: str) -> bool:
    """Whether a cell says that there is nothing."""
    return cell.strip().lower() in EMPTY


def read_integer(cell: str) -> int:
    """``12``, ``-3``, ``1,234``; no leading zeros, as of a postcode. Raises CellError."""
    if not _INTEGER.fullmatch(cell.strip()):
        raise CellError(f"not a whole number: {cell!r}")
    return int(cell.replace(",", ""))


def read_number(cell: str) -> float:
    """``1.5``, ``.5``, ``1e3``, ``1,234.5``, ``12%`` as 0.12. Raises CellError."""
    text = cell.strip()
    percent = text.endswith("%")
    number = text.removesuffix("%").rstrip()
    if not _NUMBER.fullmatch(number) or _has_leading_zero(number):
        raise CellError(f"not a number: {cell!r}")
    value = float(number.replace(",", ""))
    return value / 100 if percent else value


def read_truth(cell: str) -> bool:
    """``true``, ``yes``, ``false``, ``no`` in any case. Raises CellError."""
    text = cell.strip().lower()
    if text in TRUE:
        return True
    if text in FALSE:
        return False
    raise CellError(f"neither true nor false: {cell!r}")


def read_date(cell: str) -> date:
    """``2024-05-31`` or ``31.5.2024``. Raises CellError."""
    match = _DATE.fullmatch(cell.strip())
    if match is None:
        raise CellError(f"not a date: {cell!r}")
    parts = match.groups()
    year, month, day = parts[:3] if parts[0] else (parts[5], parts[4], parts[3])
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        raise CellError(f"no such day: {cell!r}") from None


def read_text(cell: str) -> str:
    """The cell itself."""
    return cell


#: The kinds, the first that fits being chosen.
READERS: dict[str, Callable[[str], Value]] = {
    "integer": read_integer,
    "number": read_number,
    "truth": read_truth,
    "date": read_date,
    "text": read_text,
}


def column_kind(cells: Iterable[str]) -> str:
    """The first kind that all cells with something in them are of; text where none has."""
    filled = [cell for cell in cells if not is_empty(cell)]
    if not filled:
        return "text"
    return next(kind for kind in READERS if all(_fits(cell, kind) for cell in filled))


def convert(cells: Iterable[str], kind: str | None = None) -> list[Value]:
    """The cells as values of a kind, of the one that fits where none is given.

    Raises CellError for a cell that is not of the kind, or a kind there is not.
    """
    cells = list(cells)
    kind = column_kind(cells) if kind is None else kind
    if kind not in READERS:
        raise CellError(f"no kind {kind!r}; there are {', '.join(READERS)}")
    return [None if is_empty(cell) else READERS[kind](cell) for cell in cells]


def _fits(cell: str, kind: str) -> bool:
    try:
        READERS[kind](cell)
    except CellError:
        return False
    return True


def _has_leading_zero(number: str) -> bool:
    digits = number.lstrip("+-")
    return len(digits) > 1 and digits[0] == "0" and digits[1].isdigit()
