"""Tables of the stock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stockroom.codes import family
from stockroom.ledger import Ledger
from stockroom.stock import Stock
from stockroom.units import Packing, spelled_quantity
from stockroom.valuation import Valuation


def stock_table(stock: Stock, packings: Mapping[str, Packing] | None = None) -> list[str]:
    """One line for each item: code, on hand, available, and where it is."""
    packed = packings or {}
    rows = [("code", "on hand", "available", "shelves")]
    for code in stock.codes():
        shelves = ", ".join(f"{name} {count}" for name, count in stock.shelves_of(code).items())
        on_hand = spelled_quantity(stock.on_hand(code), packed.get(code, Packing()))
        rows.append((code, on_hand, str(stock.available(code)), shelves))
    return columns(rows)


def by_family(stock: Stock, groups: int = 1) -> dict[str, int]:
    """The units on hand of items that share the first groups of their codes."""
    found: dict[str, int] = {}
    for code in stock.codes():
        name = family(code, groups)
        found[name] = found.get(name, 0) + stock.on_hand(code)
    return found


def turnover(ledger: Ledger, code: str, first: int, last: int) -> float:
    """How often the mean stock of an item was used up in some days; 0 where there was none."""
    days = range(first, last + 1)
    stocks = [ledger.on_day(code, day) for day in days]
    mean = sum(stocks) / len(stocks) if stocks else 0
    return round(ledger.used(code, first, last) / mean, 3) if mean else 0.0


def abc_classes(values: Mapping[str, int], a: int = 80, b: int = 95) -> dict[str, str]:
    """ "A" for the items that make the first 80 % of the value, "B" up to 95 %, else "C"."""
    total = sum(values.values())
    classes, reached = {}, 0
    for code, value in sorted(values.items(), key=lambda item: (-item[1], item[0])):
        before = 100 * reached
        reached += value
        if before < a * total:
            classes[code] = "A"
        elif before < b * total:
            classes[code] = "B"
        else:
            classes[code] = "C"
    return classes


def value_table(valuation: Valuation, codes: Sequence[str]) -> list[str]:
    """One line for each item: code, units, value, and the total."""
    rows = [("code", "units", "value")]
    for code in codes:
        rows.append((code, str(valuation.quantity(code)), money(valuation.value(code))))
    rows.append(("total", "", money(sum(valuation.value(code) for code in codes))))
    return columns(rows)


def money(cents: int) -> str:
    """Cents as in "1,234.50"."""
    sign = "-" if cents < 0 else ""
    whole, part = divmod(abs(cents), 100)
    return f"{sign}{whole:,}.{part:02}"


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines whose columns are aligned: the first to the left, numbers to the right."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [cell_text(cell, width) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join(cells).rstrip())
    return lines


def cell_text(cell: str, width: int) -> str:
    """A cell in its width; what begins with a digit or a minus and a digit is a number."""
    is_number = cell.lstrip("-")[:1].isdigit() and " " not in cell
    return cell.rjust(width) if is_number else cell.ljust(width)
