"""What is on which shelf, and what is reserved for which order."""

from __future__ import annotations

from stockroom.codes import clean_code, sort_key
from stockroom.errors import NotEnough, StockroomError, UnknownOrder
from stockroom.ledger import Ledger, Movement
from stockroom.units import check_positive

DOCK = "DOCK"


class Stock:
    """The stock of all items. ``ledger`` has all movements; ``day`` is today."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.day = 0
        self._shelves: dict[str, dict[str, int]] = {}
        self._on_hand: dict[str, int] = {}
        self._reserved: dict[str, int] = {}
        self._orders: dict[str, dict[str, int]] = {}

    def receive(self, code: str, quantity: int, shelf: str = DOCK) -> Movement:
        """Puts new units on a shelf. Raises QuantityError, CodeError."""
        return self._put("receive", code, quantity, shelf)

    def give_back(self, code: str, quantity: int, shelf: str = DOCK) -> Movement:
        """Puts units that a customer returned on a shelf."""
        return self._put("return", code, quantity, shelf)

    def scrap(self, code: str, quantity: int, shelf: str = DOCK) -> Movement:
        """Removes broken units from a shelf. Raises NotEnough; reserved units cannot be scrapped."""
        code = clean_code(code)
        quantity = check_positive(quantity)
        if quantity > self.available(code):
            raise NotEnough(code, quantity, self.available(code))
        self._take(code, quantity, shelf)
        self._on_hand[code] -= quantity
        return self._recorded("scrap", code, quantity, shelf)

    def move(self, code: str, quantity: int, source: str, target: str) -> Movement:
        """Moves units from one shelf to another. Raises NotEnough."""
        code = clean_code(code)
        quantity = check_positive(quantity)
        self._take(code, quantity, source)
        self._shelf(target)[code] = self.on_shelf(code, target) + quantity
        return self._recorded("move", code, quantity, target)

    def count(self, code: str, counted: int, shelf: str = DOCK) -> int:
        """Sets what is on a shelf to what was counted; returns the difference.

        Raises StockroomError where less would be there than is reserved.
        """
        code = clean_code(code)
        difference = counted - self.on_shelf(code, shelf)
        if self.on_hand(code) + difference < self.reserved(code):
            raise StockroomError(f"{code}: {self.reserved(code)} are reserved")
        self._shelf(shelf)[code] = counted
        self._on_hand[code] = self.on_hand(code) + difference
        self._recorded("count", code, difference, shelf)
        return difference

    def reserve(self, order: str, code: str, quantity: int) -> int:
        """Keeps units for an order; returns how many it has now. Raises NotEnough."""
        code = clean_code(code)
        quantity = check_positive(quantity)
        if quantity > self.available(code):
            raise NotEnough(code, quantity, self.available(code))
        lines = self._orders.setdefault(order, {})
        lines[code] = lines.get(code, 0) + quantity
        self._reserved[code] = self.reserved(code) + quantity
        return lines[code]

    def release(self, order: str, code: str | None = None) -> int:
        """Gives up what an order has of an item, or all of it; returns how many units.

        Raises UnknownOrder.
        """
        lines = self._lines(order)
        codes = list(lines) if code is None else [clean_code(code)]
        freed = 0
        for each in codes:
            quantity = lines.pop(each, 0)
            self._reserved[each] = self.reserved(each) - quantity
            freed += quantity
        if not lines:
            del self._orders[order]
        return freed

    def ship(self, order: str) -> list[Movement]:
        """Takes what an order has from the shelves, the fullest first. Raises UnknownOrder."""
        movements = []
        for code, quantity in sorted(self._lines(order).items()):
            self._reserved[code] -= quantity
            self._on_hand[code] -= quantity
            for shelf, count in self._picks(code, quantity):
                self._take(code, count, shelf)
                movements.append(self._recorded("ship", code, count, shelf))
        del self._orders[order]
        return movements

    def on_hand(self, code: str) -> int:
        """How many units there are."""
        return self._on_hand.get(clean_code(code), 0)

    def reserved(self, code: str) -> int:
        """How many of them are kept for orders."""
        return self._reserved.get(clean_code(code), 0)

    def available(self, code: str) -> int:
        """How many can be promised."""
        return self.on_hand(code) - self.reserved(code)

    def on_shelf(self, code: str, shelf: str = DOCK) -> int:
        """How many units of an item are on a shelf."""
        return self._shelf(shelf).get(clean_code(code), 0)

    def shelves_of(self, code: str) -> dict[str, int]:
        """Where an item is, and how much of it."""
        code = clean_code(code)
        return {
            name: shelf[code] for name, shelf in sorted(self._shelves.items()) if shelf.get(code, 0)
        }

    def orders(self) -> list[str]:
        """The orders that have something reserved, sorted."""
        return sorted(self._orders)

    def codes(self) -> list[str]:
        """The items that are there, sorted with numbers as numbers."""
        return sorted((code for code, count in self._on_hand.items() if count), key=sort_key)

    def _put(self, kind: str, code: str, quantity: int, shelf: str) -> Movement:
        code = clean_code(code)
        quantity = check_positive(quantity)
        self._shelf(shelf)[code] = self.on_shelf(code, shelf) + quantity
        self._on_hand[code] = self.on_hand(code) + quantity
        return self._recorded(kind, code, quantity, shelf)

    def _take(self, code: str, quantity: int, shelf: str) -> None:
        there = self.on_shelf(code, shelf)
        if quantity > there:
            raise NotEnough(code, quantity, there)
        self._shelf(shelf)[code] = there - quantity

    def _picks(self, code: str, quantity: int) -> list[tuple[str, int]]:
        """The shelves that units are taken from, the fullest first, with how many."""
        picks = []
        for name, count in sorted(self.shelves_of(code).items(), key=lambda item: -item[1]):
            taken = min(count, quantity)
            if taken:
                picks.append((name, taken))
            quantity -= taken
        return picks

    def _lines(self, order: str) -> dict[str, int]:
        if order not in self._orders:
            raise UnknownOrder(f"no order {order!r}")
        return self._orders[order]

    def _shelf(self, name: str) -> dict[str, int]:
        return self._shelves.setdefault(name.strip().upper() or DOCK, {})

    def _recorded(self, kind: str, code: str, quantity: int, shelf: str) -> Movement:
        movement = Movement(kind, code, quantity, shelf.strip().upper() or DOCK, self.day)
        self.ledger.record(movement)
        return movement
