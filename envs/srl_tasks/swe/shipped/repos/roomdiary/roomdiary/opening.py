"""When a building is open."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from roomdiary.clock import parse_span
from roomdiary.dates import weekday_number
from roomdiary.interval import Interval, merge, total_minutes


class OpeningHours:
    """Opening hours by weekday, and days on which they differ."""

    def __init__(self, hours: Mapping[int, list[Interval]]) -> None:
        self._hours = {weekday: merge(spans) for weekday, spans in hours.items()}
        self._special: dict[date, list[Interval]] = {}

    @classmethod
    def weekdays(cls, *spans: str) -> OpeningHours:
        """The same hours from Monday to Friday, such as ``"9:00-17:00"``."""
        parsed = [parse_span(span) for span in spans]
        return cls(dict.fromkeys(range(5), parsed))

    @classmethod
    def parse(cls, text: str) -> OpeningHours:
        """The hours of a text with lines like ``mon-thu: 9:00-12:00, 13:00-17:00``.

        A later line for a weekday replaces an earlier one; ``closed`` is a line without hours.
        Raises TimeError.
        """
        hours: dict[int, list[Interval]] = {}
        for line in filter(None, map(str.strip, text.splitlines())):
            days, _, spans = line.partition(":")
            parsed = [] if spans.strip() == "closed" else [*map(parse_span, spans.split(","))]
            for weekday in _weekday_range(days):
                hours[weekday] = parsed
        return cls(hours)

    def set_special(self, day: date, *spans: str) -> None:
        """Other hours on one day; closed where none are given."""
        self._special[day] = merge(parse_span(span) for span in spans)

    def on(self, day: date) -> list[Interval]:
        """The hours of a day, in order; none where it is closed."""
        if day in self._special:
            return list(self._special[day])
        return list(self._hours.get(day.weekday(), []))

    def is_open(self, day: date, moment: int) -> bool:
        """Whether it is open at a minute of a day."""
        return any(moment in span for span in self.on(day))

    def allows(self, day: date, span: Interval) -> bool:
        """Whether it is open during the whole of a span."""
        return any(hours.covers(span) for hours in self.on(day))

    def weekly_minutes(self) -> int:
        """Minutes open in a week without special days."""
        return sum(total_minutes(spans) for spans in self._hours.values())


def _weekday_range(text: str) -> list[int]:
    """The weekdays of ``mon``, ``mon-thu`` or ``sat-mon``, which goes over the weekend."""
    first, dash, last = text.partition("-")
    start = weekday_number(first)
    if not dash:
        return [start]
    days = (weekday_number(last) - start) % 7 + 1
    return [(start + offset) % 7 for offset in range(days)]
