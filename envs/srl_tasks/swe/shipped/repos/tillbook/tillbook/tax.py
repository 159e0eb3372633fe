"""Taxes on sales, by category of goods."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from tillbook.errors import AmountError, UnknownRate
from tillbook.money import Money


def add_tax(net: Money, rate: int | Fraction) -> Money:
    """The price with the tax on top."""
    return net + net.percent(rate)


def included_tax(gross: Money, rate: int | Fraction) -> Money:
    """The tax inside a price that includes it."""
    share = Fraction(rate) / (100 + Fraction(rate))
    return gross.times(share)


class TaxTable:
    """Percentages by category, with one for all other categories.

    exempt: categories that are never taxed, whatever the rates say.
    """

    def __init__(
        self,
        rates: Mapping[str, int | Fraction],
        default: int | Fraction | None = None,
        exempt: frozenset[str] = frozenset(),
    ) -> None:
        for category, rate in rates.items():
            if rate < 0:
                raise AmountError(f"the rate for {category} is negative: {rate}")
        self._rates = dict(rates)
        self._default = default
        self._exempt = exempt

    def rate(self, category: str) -> int | Fraction:
        """The percentage for a category. Raises UnknownRate where there is none, nor a default."""
        if category in self._exempt:
            return 0
        if category in self._rates:
            return self._rates[category]
        if self._default is None:
            raise UnknownRate(f"no tax rate for {category!r}")
        return self._default

    def tax(self, net: Money, category: str) -> Money:
        """The tax on a net amount of a category."""
        return net.percent(self.rate(category))

    def summary(self, nets: Mapping[str, Money]) -> list[tuple[str, Money, Money]]:
        """(category, net, tax) for every category that is taxed at all, the most tax first."""
        rows = []
        for category, net in nets.items():
            tax = self.tax(net, category)
            if not tax.is_zero():
                rows.append((category, net, tax))
        return sorted(rows, key=lambda row: (-row[2].minor, row[0]))


def standard_table() -> TaxTable:
    """Rates as in many countries: low for food and books, none for postage."""
    return TaxTable({"food": 7, "books": 7}, default=19, exempt=frozenset({"postage"}))
