"""Line items and invoices."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta

from tillbook.discounts import Discount
from tillbook.errors import CurrencyMismatch, InvoiceError
from tillbook.money import Money, total_of
from tillbook.tax import TaxTable

_NUMBER = re.compile(r"(\d{4})-(\d{4,})")


@dataclass(frozen=True)
class LineItem:
    """So many of one thing, at a price each."""

    name: str
    price: Money
    quantity: int = 1
    category: str = "goods"

    def net(self) -> Money:
        """Price times quantity."""
        return self.price.times(self.quantity)


class Invoice:
    """What one customer is asked to pay.

    Items can be added until the invoice is issued. The discount is taken off the sum of all
    items, and shared out over the tax categories by their part in that sum.
    """

    def __init__(self, number: str, day: date, currency: str = "EUR", terms_days: int = 30) -> None:
        self.number = number
        self.day = day
        self.currency = currency
        self.terms_days = terms_days
        self.discount: Discount | None = None
        self.issued = False
        self._items: list[LineItem] = []

    @property
    def items(self) -> tuple[LineItem, ...]:
        """The items, in the order they were added."""
        return tuple(self._items)

    def add(self, item: LineItem) -> None:
        """Adds an item; one of the same name, price and category as an earlier one joins it.

        Raises InvoiceError once issued or for a quantity below one, CurrencyMismatch for a price
        in another currency.
        """
        if self.issued:
            raise InvoiceError(f"invoice {self.number} is issued; nothing can be added")
        if item.quantity < 1:
            raise InvoiceError(f"{item.name}: the quantity must be at least 1")
        if item.price.currency != self.currency:
            raise CurrencyMismatch(self.currency, item.price.currency)
        for index, known in enumerate(self._items):
            if (known.name, known.price, known.category) == (item.name, item.price, item.category):
                together = known.quantity + item.quantity
                self._items[index] = LineItem(item.name, item.price, together, item.category)
                return
        self._items.append(item)

    def issue(self) -> None:
        """Closes the invoice. Raises InvoiceError where it is empty or issued already."""
        if self.issued:
            raise InvoiceError(f"invoice {self.number} is issued already")
        if not self._items:
            raise InvoiceError(f"invoice {self.number} has no items")
        self.issued = True

    def subtotal(self) -> Money:
        """The sum of all items before discount and tax."""
        return total_of((item.net() for item in self._items), self.currency)

    def discount_amount(self) -> Money:
        """What the discount takes off."""
        if self.discount is None:
            return Money(0, self.currency)
        return self.discount(self.subtotal())

    def nets_by_category(self) -> dict[str, Money]:
        """The net sum of each tax category after the discount."""
        sums: dict[str, Money] = {}
        for item in self._items:
            known = sums.get(item.category, Money(0, self.currency))
            sums[item.category] = known + item.net()
        off = self.discount_amount()
        if off.is_zero():
            return sums
        shares = off.allocate([amount.minor for amount in sums.values()])
        return {name: sums[name] - share for name, share in zip(sums, shares, strict=True)}

    def tax(self, table: TaxTable) -> Money:
        """The tax on all categories, each rounded on its own."""
        nets = self.nets_by_category()
        return total_of((table.tax(net, name) for name, net in nets.items()), self.currency)

    def total(self, table: TaxTable) -> Money:
        """What is to be paid: items less discount plus tax."""
        return self.subtotal() - self.discount_amount() + self.tax(table)

    def due_date(self) -> date:
        """The last day to pay; a due date at the weekend moves to Monday."""
        due = self.day + timedelta(days=self.terms_days)
        if due.weekday() >= 5:
            due += timedelta(days=7 - due.weekday())
        return due


def next_number(number: str, year: int) -> str:
    """The invoice number after one of the form ``2024-0007``; numbers start anew each year.

    Raises InvoiceError for another form, and for a year before that of the number.
    """
    match = _NUMBER.fullmatch(number)
    if match is None:
        raise InvoiceError(f"not an invoice number: {number!r}")
    last_year, counter = int(match[1]), int(match[2])
    if year < last_year:
        raise InvoiceError(f"{year} lies before invoice {number}")
    counter = counter + 1 if year == last_year else 1
    return f"{year}-{counter:04d}"
