"""What can go wrong."""

from __future__ import annotations


class StockroomError(Exception):
    """The base of all errors here."""


class CodeError(StockroomError):
    """A code that is none."""


class NotEnough(StockroomError):
    """Less is there than is asked for."""

    def __init__(self, code: str, wanted: int, there: int) -> None:
        super().__init__(f"{code}: {wanted} wanted, {there} there")
        self.code = code
        self.wanted = wanted
        self.there = there


class UnknownOrder(StockroomError):
    """An order that has no reservation."""


class QuantityError(StockroomError):
    """A quantity that is none, or not positive."""
