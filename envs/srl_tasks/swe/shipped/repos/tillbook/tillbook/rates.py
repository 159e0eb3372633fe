"""Exchange rates, and conversion by them."""

from __future__ import annotations

from fractions import Fraction

from tillbook.errors import AmountError, UnknownRate
from tillbook.money import Money, exponent_of


class RateTable:
    """Rates between currencies.

    A rate says how many of the target one unit of the source buys. Missing rates are found from
    the inverse, or over the base currency.
    """

    def __init__(self, base: str = "EUR", fee_percent: int = 0) -> None:
        self.base = base
        self.fee_percent = fee_percent
        self._rates: dict[tuple[str, str], Fraction] = {}

    def set(self, source: str, target: str, rate: str | int | Fraction) -> None:
        """Sets a rate; ``"1.0825"`` is read exactly. Raises AmountError unless it is positive."""
        value = Fraction(rate)
        if value <= 0:
            raise AmountError(f"a rate must be positive: {rate}")
        self._rates[source, target] = value

    def rate(self, source: str, target: str) -> Fraction:
        """The rate from one currency to another.

        Tried in turn: the same currency, a direct rate, the inverse one, and over the base.
        Raises UnknownRate.
        """
        if source == target:
            return Fraction(1)
        direct = self._known(source, target)
        if direct is not None:
            return direct
        first = self._known(source, self.base)
        second = self._known(self.base, target)
        if first is None or second is None:
            raise UnknownRate(f"no rate from {source} to {target}")
        return first * second

    def convert(self, amount: Money, target: str) -> Money:
        """The amount in another currency, less the fee; its own currency costs nothing."""
        if amount.currency == target:
            return amount
        rate = self.rate(amount.currency, target)
        scale = Fraction(10) ** (exponent_of(target) - exponent_of(amount.currency))
        kept = Fraction(100 - self.fee_percent, 100)
        converted = Money(amount.minor, target)
        return converted.times(rate * scale * kept)

    def currencies(self) -> list[str]:
        """Every currency that a rate is known for, and the base, sorted."""
        names = {self.base}
        for source, target in self._rates:
            names.update((source, target))
        return sorted(names)

    def _known(self, source: str, target: str) -> Fraction | None:
        if (source, target) in self._rates:
            return self._rates[source, target]
        if (target, source) in self._rates:
            return 1 / self._rates[target, source]
        return None
