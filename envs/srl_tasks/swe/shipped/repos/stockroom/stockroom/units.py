"""Quantities: whole units, packs and cases."""

from __future__ import annotations

import re
from dataclasses import dataclass

from stockroom.errors import QuantityError

_PART = re.compile(r"(-?[0-9]+)\s*([a-z]*)")


@dataclass(frozen=True)
class Packing:
    """How many units a pack has, and how many packs a case."""

    pack: int = 1
    case: int = 1

    def units_of(self, unit: str) -> int:
        """How many units are in one unit, pack or case. Raises QuantityError for other names."""
        unit = unit.strip().lower().removesuffix("s")
        if unit in ("", "unit", "pc"):
            return 1
        if unit == "pack":
            return self.pack
        if unit == "case":
            return self.pack * self.case
        raise QuantityError(f"{unit!r} is no unit")

    def in_units(self, count: int, unit: str = "unit") -> int:
        """A number of packs or cases in units."""
        return count * self.units_of(unit)

    def whole(self, units: int, unit: str = "pack") -> int:
        """The number of packs or cases that hold at least so many units."""
        size = self.units_of(unit)
        return -(-units // size)


def parse_quantity(text: str, packing: Packing) -> int:
    """The units of a text such as "2 cases 3 packs 1". Raises QuantityError."""
    total, rest = 0, text.strip().lower()
    if not rest:
        raise QuantityError("no quantity")
    while rest:
        found = _PART.match(rest)
        if found is None:
            raise QuantityError(f"{text!r} is no quantity")
        total += packing.in_units(int(found[1]), found[2])
        rest = rest[found.end() :].lstrip(" ,+")
    return total


def spelled_quantity(units: int, packing: Packing) -> str:
    """The units as cases, packs and units, the largest first; "0 units" for none."""
    if units < 0:
        return "-" + spelled_quantity(-units, packing)
    parts = []
    for unit, inside in (("case", packing.case), ("pack", packing.pack), ("unit", 0)):
        if inside == 1:  # the same as the next smaller one
            continue
        count, units = divmod(units, packing.units_of(unit))
        if count:
            parts.append(counted(count, unit))
    return " ".join(parts) or counted(0, "unit")


def counted(count: int, noun: str) -> str:
    """A number with its noun, as in "1 pack" and "2 packs"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def check_positive(quantity: int, what: str = "quantity") -> int:
    """The quantity. Raises QuantityError unless it is a positive whole number."""
    if isinstance(quantity, bool) or not isinstance(quantity, int) or quantity <= 0:
        raise QuantityError(f"{what} must be positive; got {quantity!r}")
    return quantity
