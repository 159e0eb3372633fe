"""Movements of stock, and the stock on a day."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from stockroom.codes import clean_code
from stockroom.errors import QuantityError
from stockroom.units import check_positive

INCOMING = ("receive", "return")
OUTGOING = ("ship", "scrap")


@dataclass(frozen=True)
class Movement:
    """Units that came or went. kind: "receive", "return", "ship", "scrap", "move" or "count"."""

    kind: str
    code: str
    quantity: int
    shelf: str = ""
    day: int = 0

    def change(self) -> int:
        """What the movement adds to the stock of an item."""
        if self.kind in INCOMING:
            return self.quantity
        if self.kind in OUTGOING:
            return -self.quantity
        if self.kind == "count":
            return self.quantity
        return 0


class Ledger:
    """The movements in the order of their days."""

    def __init__(self) -> None:
        self._movements: list[Movement] = []
        self._totals: dict[str, int] = {}
        self.last_day = 0

    def record(self, movement: Movement) -> None:
        """Adds a movement; those of the same day stay in order.

        Raises QuantityError for a kind that is unknown, and for a quantity that is not positive;
        counts may be negative.
        """
        if movement.kind == "count":
            if movement.quantity == 0:
                return
        elif movement.kind in (*INCOMING, *OUTGOING, "move"):
            check_positive(movement.quantity)
        else:
            raise QuantityError(f"no movement {movement.kind!r}")
        place = len(self._movements)
        while place and self._movements[place - 1].day > movement.day:
            place -= 1
        self._movements.insert(place, movement)
        self._totals[movement.code] = self._totals.get(movement.code, 0) + movement.change()
        self.last_day = max(self.last_day, movement.day)

    def undo_last(self, code: str) -> Movement | None:
        """Takes back the last movement of an item; None if there is none."""
        code = clean_code(code)
        for place in range(len(self._movements) - 1, -1, -1):
            movement = self._movements[place]
            if movement.code == code:
                del self._movements[place]
                self._totals[code] -= movement.change()
                self.last_day = max((each.day for each in self._movements), default=0)
                return movement
        return None

    def total(self, code: str) -> int:
        """The stock of an item after all movements."""
        return self._totals.get(clean_code(code), 0)

    def on_day(self, code: str, day: int) -> int:
        """The stock of an item at the end of a day."""
        code = clean_code(code)
        return sum(m.change() for m in self._movements if m.code == code and m.day <= day)

    def between(self, first: int, last: int, kind: str = "") -> list[Movement]:
        """The movements of some days, both included; kind: only those."""
        return [
            movement
            for movement in self._movements
            if first <= movement.day <= last and kind in ("", movement.kind)
        ]

    def used(self, code: str, first: int, last: int) -> int:
        """How much of an item was shipped in some days, less what came back."""
        code = clean_code(code)
        amount = 0
        for movement in self.between(first, last):
            if movement.code != code:
                continue
            if movement.kind == "ship":
                amount += movement.quantity
            if movement.kind == "return":
                amount -= movement.quantity
        return amount

    def codes(self) -> list[str]:
        """The items that ever moved, sorted."""
        return sorted(self._totals)

    def __iter__(self) -> Iterator[Movement]:
        return iter(self._movements)

    def __len__(self) -> int:
        return len(self._movements)
