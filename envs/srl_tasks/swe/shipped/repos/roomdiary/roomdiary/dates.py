"""Counting in months, weekdays and working days."""

from __future__ import annotations

import calendar
from collections.abc import Collection
from datetime import date, timedelta

from roomdiary.errors import TimeError

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def weekday_number(name: str) -> int:
    """0 for Monday to 6 for Sunday; the first three letters count. Raises TimeError."""
    short = name.strip().lower()[:3]
    if short not in WEEKDAYS:
        raise TimeError(f"not a weekday: {name!r}")
    return WEEKDAYS.index(short)


def add_months(day: date, months: int) -> date:
    """The same day so many months later; the last of the month where it has no such day."""
    month = day.month - 1 + months
    year, month = day.year + month // 12, month % 12 + 1
    last = calendar.monthrange(year, month)[1]
    return date(year, month, min(day.day, last))


def nth_weekday(year: int, month: int, weekday: int, nth: int) -> date:
    """The nth such weekday of a month, from 1; from the end with -1 and down.

    Raises TimeError where the month has no such day.
    """
    days = [
        date(year, month, day)
        for day in range(1, calendar.monthrange(year, month)[1] + 1)
        if date(year, month, day).weekday() == weekday
    ]
    if nth == 0 or abs(nth) > len(days):
        raise TimeError(f"{year}-{month:02d} has no weekday {weekday} number {nth}")
    return days[nth - 1] if nth > 0 else days[nth]


def is_working_day(day: date, holidays: Collection[date] = ()) -> bool:
    """Whether it is a day from Monday to Friday and no holiday."""
    return day.weekday() < 5 and day not in holidays


def working_days(first: date, last: date, holidays: Collection[date] = ()) -> int:
    """How many working days lie from the first to the last, both counted; 0 for none."""
    count = 0
    day = first
    while day <= last:
        if is_working_day(day, holidays):
            count += 1
        day += timedelta(days=1)
    return count


def add_working_days(day: date, count: int, holidays: Collection[date] = ()) -> date:
    """The working day so many after a day, or before it where the count is negative."""
    step = timedelta(days=1 if count > 0 else -1)
    left = abs(count)
    while left > 0:
        day += step
        if is_working_day(day, holidays):
            left -= 1
    return day


def week_of(day: date) -> list[date]:
    """The seven days of its week, from Monday."""
    monday = day - timedelta(days=day.weekday())
    return [monday + timedelta(days=offset) for offset in range(7)]
