"""Amounts of money as whole numbers of the smallest unit of a currency."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from tillbook.errors import AmountError, CurrencyMismatch

#: Digits after the point, for currencies that do not have two.
EXPONENTS = {"JPY": 0, "KRW": 0, "KWD": 3, "TND": 3}
SYMBOLS = {"EUR": "€", "USD": "$", "GBP": "£", "JPY": "¥"}

_AMOUNT = re.compile(r"(?P<sign>-?)(?P<whole>\d{1,3}(?:,\d{3})+|\d+)(?:\.(?P<part>\d+))?")


def exponent_of(currency: str) -> int:
    """How many digits the currency has after the point."""
    return EXPONENTS.get(currency, 2)


def round_half_away(value: Fraction) -> int:
    """The nearest whole number; halves go away from zero."""
    if value < 0:
        return -round_half_away(-value)
    return int((2 * value + 1) // 2)


@dataclass(frozen=True)
class Money:
    """An amount in minor units (cents) of a currency."""

    minor: int
    currency: str = "EUR"

    def __add__(self, other: Money) -> Money:
        self._check(other)
        return Money(self.minor + other.minor, self.currency)

    def __sub__(self, other: Money) -> Money:
        self._check(other)
        return Money(self.minor - other.minor, self.currency)

    def __neg__(self) -> Money:
        return Money(-self.minor, self.currency)

    def __lt__(self, other: Money) -> bool:
        self._check(other)
        return self.minor < other.minor

    def __le__(self, other: Money) -> bool:
        self._check(other)
        return self.minor <= other.minor

    def times(self, factor: int | Fraction) -> Money:
        """The amount times a factor, rounded to whole minor units."""
        return Money(round_half_away(Fraction(self.minor) * factor), self.currency)

    def percent(self, rate: int | Fraction) -> Money:
        """So many percent of the amount."""
        return self.times(Fraction(rate) / 100)

    def is_zero(self) -> bool:
        """Whether there is nothing."""
        return self.minor == 0

    def is_negative(self) -> bool:
        """Whether it is less than nothing."""
        return self.minor < 0

    def split(self, parts: int) -> list[Money]:
        """The amount in so many parts that differ by one minor unit at most.

        Raises AmountError for less than one part.
        """
        if parts < 1:
            raise AmountError(f"cannot split into {parts} parts")
        return self.allocate([1] * parts)

    def allocate(self, weights: Sequence[int]) -> list[Money]:
        """The amount shared out by weight; the shares add up to it exactly.

        What rounding leaves over goes, one minor unit each, to the first shares with a weight.
        Raises AmountError for negative weights, and for weights that are all zero.
        """
        whole = sum(weights)
        if whole <= 0 or min(weights) < 0:
            raise AmountError(f"weights must be positive: {list(weights)}")
        sign = -1 if self.minor < 0 else 1
        amount = abs(self.minor)
        shares = [amount * weight // whole for weight in weights]
        left = amount - sum(shares)
        for index, weight in enumerate(weights):
            if left == 0:
                break
            if weight > 0:
                shares[index] += 1
                left -= 1
        return [Money(sign * share, self.currency) for share in shares]

    def text(self, symbol: bool = False) -> str:
        """The amount for people: ``1,234.50 EUR``, or ``€1,234.50`` with a known symbol."""
        number = self._number()
        if symbol and self.currency in SYMBOLS:
            sign = "-" if self.minor < 0 else ""
            return f"{sign}{SYMBOLS[self.currency]}{number.lstrip('-')}"
        return f"{number} {self.currency}"

    def _number(self) -> str:
        digits = exponent_of(self.currency)
        whole, part = divmod(abs(self.minor), 10**digits)
        sign = "-" if self.minor < 0 else ""
        if digits == 0:
            return f"{sign}{whole:,}"
        return f"{sign}{whole:,}.{part:0{digits}d}"

    def _check(self, other: Money) -> None:
        if self.currency != other.currency:
            raise CurrencyMismatch(self.currency, other.currency)


def parse_money(text: str, currency: str = "EUR") -> Money:
    """The amount a text names: ``1,234.5``, ``-3``, ``€12``, ``12.50 USD``.

    A currency in the text counts more than the one given. Raises AmountError for anything else,
    and for more digits after the point than the currency has.
    """
    rest = text.strip()
    for code, symbol in SYMBOLS.items():
        if symbol in rest:
            currency, rest = code, rest.replace(symbol, "", 1)
    words = rest.split()
    if len(words) == 2 and len(words[1]) == 3 and words[1].isalpha():
        rest, currency = words[0], words[1].upper()
    match = _AMOUNT.fullmatch(rest)
    if match is None:
        raise AmountError(f"not an amount: {text!r}")
    digits = exponent_of(currency)
    part = match["part"] or ""
    if len(part) > digits:
        raise AmountError(f"{currency} has {digits} digits after the point: {text!r}")
    minor = int(match["whole"].replace(",", "") + part.ljust(digits, "0"))
    return Money(-minor if match["sign"] else minor, currency)


def total_of(amounts: Iterable[Money], currency: str = "EUR") -> Money:
    """The sum of amounts; nothing of the currency where there are none."""
    total: Money | None = None
    for amount in amounts:
        total = amount if total is None else total + amount
    return Money(0, currency) if total is None else total
