"""Payments against the open invoices of one customer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from tillbook.errors import AmountError, CurrencyMismatch, InvoiceError
from tillbook.money import Money


@dataclass(frozen=True)
class Payment:
    """Money that came in; reference: the number of the invoice it was meant for, if any."""

    day: date
    amount: Money
    reference: str = ""


@dataclass
class OpenItem:
    """What is still owed on one invoice."""

    number: str
    due: date
    amount: Money
    paid: Money

    def open_amount(self) -> Money:
        """The part that is not paid."""
        return self.amount - self.paid

    def is_settled(self) -> bool:
        """Whether all of it is paid."""
        return self.amount <= self.paid


class Account:
    """The invoices and payments of one customer, in one currency."""

    def __init__(self, currency: str = "EUR") -> None:
        self.currency = currency
        self.credit = Money(0, currency)
        self._items: dict[str, OpenItem] = {}

    def charge(self, number: str, due: date, amount: Money) -> None:
        """Adds an invoice; credit of the customer is used for it at once.

        Raises InvoiceError for a number that is known, CurrencyMismatch.
        """
        if number in self._items:
            raise InvoiceError(f"invoice {number} is charged already")
        if amount.currency != self.currency:
            raise CurrencyMismatch(self.currency, amount.currency)
        item = OpenItem(number, due, amount, Money(0, self.currency))
        self._items[number] = item
        self.credit = self._settle(item, self.credit)

    def receive(self, payment: Payment) -> list[str]:
        """Books a payment, and returns the numbers of the invoices that it settled.

        The invoice it names is paid first, then the others by due date; what is left over is
        credit. Raises AmountError for a payment of nothing or less, InvoiceError for a reference
        that is unknown.
        """
        if payment.amount.minor <= 0:
            raise AmountError(f"a payment must be positive: {payment.amount.text()}")
        if payment.reference and payment.reference not in self._items:
            raise InvoiceError(f"no invoice {payment.reference}")
        left = payment.amount
        settled = []
        for item in self._in_order(payment.reference):
            left = self._settle(item, left)
            if item.is_settled():
                settled.append(item.number)
            if left.is_zero():
                break
        self.credit = self.credit + left
        return settled

    def balance(self) -> Money:
        """What the customer owes; negative where there is credit."""
        owed = -self.credit
        for item in self._items.values():
            owed = owed + item.open_amount()
        return owed

    def open_items(self) -> list[OpenItem]:
        """The invoices that are not settled, the one due first at the front."""
        items = [item for item in self._items.values() if not item.is_settled()]
        return sorted(items, key=lambda item: (item.due, item.number))

    def overdue(self, today: date) -> list[OpenItem]:
        """The open invoices whose due date has passed."""
        return [item for item in self.open_items() if item.due < today]

    def _in_order(self, reference: str) -> list[OpenItem]:
        items = self.open_items()
        return sorted(items, key=lambda item: item.number != reference)

    def _settle(self, item: OpenItem, available: Money) -> Money:
        """Pays what can be paid of an invoice; returns what is left."""
        used = min(available.minor, item.open_amount().minor)
        item.paid = item.paid + Money(used, self.currency)
        return available - Money(used, self.currency)
