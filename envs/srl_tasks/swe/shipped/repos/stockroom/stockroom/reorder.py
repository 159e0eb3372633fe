"""When to order how much."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stockroom.codes import clean_code, sort_key
from stockroom.errors import StockroomError
from stockroom.ledger import Ledger
from stockroom.stock import Stock
from stockroom.units import Packing, check_positive


@dataclass(frozen=True)
class Rule:
    """How an item is ordered.

    policy: "point" orders up to ``upto`` when no more than ``point`` are available; "days" orders
    what is used in so many days of ``cover``; "never" orders nothing. unit: what is ordered.
    """

    policy: str
    point: int = 0
    upto: int = 0
    cover: int = 30
    packing: Packing = Packing()
    unit: str = "pack"

    def check(self) -> None:
        """Raises StockroomError for a rule that cannot be followed."""
        if self.policy not in ("point", "days", "never"):
            raise StockroomError(f"no policy {self.policy!r}")
        if self.policy == "point" and self.upto <= self.point:
            raise StockroomError("upto must be more than point")
        if self.policy == "days":
            check_positive(self.cover, "cover")


def daily_use(ledger: Ledger, code: str, today: int, window: int = 28) -> float:
    """How many units of an item are used in a day, from the last days of a window."""
    first = max(today - window + 1, 0)
    days = today - first + 1
    return max(ledger.used(code, first, today), 0) / days


def days_left(stock: Stock, code: str, window: int = 28) -> int | None:
    """For how many whole days the available units last; None if none are used."""
    use = daily_use(stock.ledger, code, stock.day, window)
    return int(stock.available(code) / use) if use else None


def order_quantity(stock: Stock, code: str, rule: Rule, on_order: int = 0) -> int:
    """How many units to order now, in whole packs or cases; on_order: what will come anyway."""
    rule.check()
    there = stock.available(code) + on_order
    missing = 0
    if rule.policy == "point":
        missing = rule.upto - there if there <= rule.point else 0
    elif rule.policy == "days":
        use = daily_use(stock.ledger, code, stock.day)
        missing = ceiling(use * rule.cover) - there
    if missing <= 0:
        return 0
    return rule.packing.in_units(rule.packing.whole(missing, rule.unit), rule.unit)


def proposals(
    stock: Stock, rules: Mapping[str, Rule], on_order: Mapping[str, int] | None = None
) -> dict[str, int]:
    """What to order of all items with a rule; those with nothing to order are left out."""
    coming = {clean_code(code): count for code, count in (on_order or {}).items()}
    found = {}
    for code in sorted(map(clean_code, rules), key=sort_key):
        rule = next(rule for name, rule in rules.items() if clean_code(name) == code)
        quantity = order_quantity(stock, code, rule, coming.get(code, 0))
        if quantity:
            found[code] = quantity
    return found


def economic_quantity(yearly: int, order_cost: int, holding_cost: int) -> int:
    """The quantity with the least yearly cost: the root of 2 · yearly · order / holding."""
    if holding_cost <= 0:
        raise StockroomError("holding_cost must be positive")
    quantity = 1
    while quantity * (quantity + 1) * holding_cost < 2 * yearly * order_cost:
        quantity += 1
    return quantity


def ceiling(number: float) -> int:
    """The least whole number that is not less, but for what rounding leaves."""
    whole = int(number)
    return whole if number - whole < 1e-9 else whole + 1
