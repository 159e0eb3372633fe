"""How late open invoices are, and what follows from it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from fractions import Fraction

from tillbook.money import Money
from tillbook.payments import OpenItem

#: The last day overdue of each bucket, and its name; what is later is in the last bucket.
BUCKETS = ((0, "current"), (30, "1-30"), (60, "31-60"), (90, "61-90"))
LAST_BUCKET = "over 90"


def days_overdue(due: date, today: date) -> int:
    """Full days since the due date; 0 up to and on it."""
    return max(0, (today - due).days)


def bucket_for(days: int) -> str:
    """The name of the bucket for so many days overdue."""
    for last, name in BUCKETS:
        if days <= last:
            return name
    return LAST_BUCKET


def aging_report(items: Iterable[OpenItem], today: date) -> dict[str, int]:
    """Open minor units by bucket, every bucket named, those with nothing as 0."""
    report = {name: 0 for _, name in BUCKETS}
    report[LAST_BUCKET] = 0
    for item in items:
        bucket = bucket_for(days_overdue(item.due, today))
        report[bucket] += item.open_amount().minor
    return report


def reminder_level(days: int, grace_days: int = 5) -> int:
    """0 for none, 1 for a friendly reminder, 2 for a firm one, 3 for the last.

    None within the days of grace; then one level more every two weeks.
    """
    if days <= grace_days:
        return 0
    return min(3, 1 + (days - grace_days - 1) // 14)


def late_fee(open_amount: Money, days: int, yearly_percent: int = 9, minimum: int = 500) -> Money:
    """Interest for the days overdue, but at least the minimum (minor units) once there is any."""
    if days <= 0 or open_amount.minor <= 0:
        return Money(0, open_amount.currency)
    interest = open_amount.times(Fraction(yearly_percent * days, 100 * 365))
    return interest if interest.minor > minimum else Money(minimum, interest.currency)
