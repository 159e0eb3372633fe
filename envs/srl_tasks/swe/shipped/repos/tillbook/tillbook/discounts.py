"""Discounts: rules that say how much comes off an amount.

A rule is a function from an amount to the amount that comes off, which is never negative and
never more than the amount itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tillbook.errors import AmountError
from tillbook.money import Money

Discount = Callable[[Money], Money]


@dataclass(frozen=True)
class Tier:
    """From this quantity on, so many percent come off."""

    from_quantity: int
    percent: int


def percent_off(rate: int, at_least: Money | None = None) -> Discount:
    """A rule that takes off a percentage, of amounts that reach a minimum where one is given.

    Raises AmountError unless the rate is from 0 to 100.
    """
    if not 0 <= rate <= 100:
        raise AmountError(f"a discount is from 0 to 100 percent: {rate}")

    def rule(amount: Money) -> Money:
        if at_least is not None and amount < at_least:
            return Money(0, amount.currency)
        return _limited(amount.percent(rate), amount)

    return rule


def fixed_off(value: Money) -> Discount:
    """A rule that takes off a fixed amount. Raises AmountError for a negative one."""
    if value.is_negative():
        raise AmountError(f"a discount cannot be negative: {value.text()}")

    def rule(amount: Money) -> Money:
        return _limited(value, amount)

    return rule


def volume_rate(quantity: int, tiers: Sequence[Tier]) -> int:
    """The percentage of the highest tier that the quantity reaches; 0 below all of them."""
    rate = 0
    for tier in sorted(tiers, key=lambda tier: tier.from_quantity):
        if quantity >= tier.from_quantity:
            rate = tier.percent
    return rate


def tiered(quantity: int, tiers: Sequence[Tier]) -> Discount:
    """A rule that takes off the percentage of the tier that the quantity reaches."""
    return percent_off(volume_rate(quantity, tiers))


def best_of(rules: Sequence[Discount]) -> Discount:
    """A rule that takes off the most that any of the rules would; nothing without rules."""

    def rule(amount: Money) -> Money:
        best = Money(0, amount.currency)
        for candidate in rules:
            off = candidate(amount)
            if best < off:
                best = off
        return best

    return rule


def in_turn(rules: Sequence[Discount]) -> Discount:
    """A rule that applies each rule to what the ones before it have left."""

    def rule(amount: Money) -> Money:
        left = amount
        for step in rules:
            left = left - step(left)
        return amount - left

    return rule


def _limited(off: Money, amount: Money) -> Money:
    if amount.is_negative():
        return Money(0, amount.currency)
    return amount if amount < off else off
