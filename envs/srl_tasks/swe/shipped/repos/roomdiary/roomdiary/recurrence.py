"""Rules for days that come again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from roomdiary.dates import add_months, week_of, weekday_number
from roomdiary.errors import TimeError

#: A rule without an end is cut here.
MOST = 500


@dataclass(frozen=True)
class Rule:
    """Every so many days, weeks or months from a first day on.

    unit: "day", "week" or "month". weekdays: for weeks, the days of the week (0 is Monday); none
    means the weekday of the first day. Monthly rules keep the day of the month, or the last one
    where a month is too short. count, until: when it ends; the first that is reached counts.
    except_on: days that are left out; they count as having been.
    """

    first: date
    unit: str
    every: int = 1
    weekdays: tuple[int, ...] = ()
    count: int | None = None
    until: date | None = None
    except_on: frozenset[date] = frozenset()

    def __post_init__(self) -> None:
        if self.unit not in ("day", "week", "month"):
            raise TimeError(f"a rule by the {self.unit!r}")
        if self.every < 1:
            raise TimeError(f"every {self.every} {self.unit}s")
        if self.weekdays and self.unit != "week":
            raise TimeError("weekdays need a rule by the week")


def occurrences(rule: Rule) -> list[date]:
    """The days of a rule in order, without the exceptions; 500 at most."""
    found: list[date] = []
    limit = MOST if rule.count is None else min(rule.count, MOST)
    for number, day in enumerate(_days(rule)):
        if number >= limit or (rule.until is not None and day > rule.until):
            break
        if day not in rule.except_on:
            found.append(day)
    return found


def next_occurrence(rule: Rule, after: date) -> date | None:
    """The first day of a rule that is later than a day, or None."""
    return next((day for day in occurrences(rule) if day > after), None)


def parse_rule(text: str, first: date) -> Rule:
    """The rule of ``daily``, ``weekly on mon, thu``, ``every 2 weeks``, ``every 3 months``.

    Any of them may end with ``, 5 times``. Raises TimeError.
    """
    words = text.lower().replace(",", " ").split()
    count = None
    if words[-1:] == ["times"]:
        count = _positive(words[-2:-1], text)
        words = words[:-2]
    weekdays: tuple[int, ...] = ()
    if "on" in words:
        at = words.index("on")
        weekdays = tuple(sorted({weekday_number(word) for word in words[at + 1 :]}))
        words = words[:at]
    named = {"daily": "day", "weekly": "week", "monthly": "month"}
    if len(words) == 1 and words[0] in named:
        return Rule(first, named[words[0]], weekdays=weekdays, count=count)
    if len(words) == 3 and words[0] == "every":
        every = _positive(words[1:2], text)
        return Rule(first, words[2].removesuffix("s"), every, weekdays, count)
    raise TimeError(f"not a rule: {text!r}")


def _positive(words: list[str], text: str) -> int:
    if not words or not words[0].isdecimal() or int(words[0]) < 1:
        raise TimeError(f"not a rule: {text!r}")
    return int(words[0])


def _days(rule: Rule) -> Iterator[date]:
    """All days from the first on, without end."""
    step = 0
    while True:
        if rule.unit == "day":
            yield rule.first + timedelta(days=step * rule.every)
        elif rule.unit == "month":
            yield add_months(rule.first, step * rule.every)
        else:
            start = rule.first + timedelta(weeks=step * rule.every)
            yield from _days_of_week(rule, start)
        step += 1


def _days_of_week(rule: Rule, start: date) -> Iterator[date]:
    wanted = rule.weekdays or (rule.first.weekday(),)
    for day in week_of(start):
        if day.weekday() in wanted and day >= rule.first:
            yield day
