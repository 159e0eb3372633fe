"""Times of day as minutes since midnight, and their texts."""

from __future__ import annotations

import re

from roomdiary.errors import TimeError
from roomdiary.interval import Interval

DAY = 24 * 60
_TIME = re.compile(r"(\d{1,2})(?::(\d{2}))?\s*(am|pm)?", re.IGNORECASE)


def parse_time(text: str) -> int:
    """Minutes since midnight of ``9:30``, ``09:30``, ``9``, ``9:30 pm``, ``12am``, ``24:00``.

    Raises TimeError.
    """
    match = _TIME.fullmatch(text.strip())
    if match is None:
        raise TimeError(f"not a time: {text!r}")
    hours, minutes = int(match[1]), int(match[2] or 0)
    if match[3]:
        if not 1 <= hours <= 12:
            raise TimeError(f"not a time: {text!r}")
        hours = hours % 12 + (12 if match[3].lower() == "pm" else 0)
    if minutes > 59 or hours * 60 + minutes > DAY:
        raise TimeError(f"not a time: {text!r}")
    return hours * 60 + minutes


def format_time(minutes: int) -> str:
    """The time of day as ``09:05``; the end of the day is ``24:00``. Raises TimeError."""
    if not 0 <= minutes <= DAY:
        raise TimeError(f"{minutes} minutes are no time of day")
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def parse_span(text: str) -> Interval:
    """The interval of ``9:00-10:30``, or of ``9:00+90`` with its length in minutes.

    Raises TimeError where the end is not after the start, or after midnight.
    """
    start, plus, length = text.partition("+")
    if plus:
        if not length.strip().isdecimal():
            raise TimeError(f"not a length in minutes: {length!r}")
        first = parse_time(start)
        return _checked(first, first + int(length), text)
    start, dash, end = text.partition("-")
    if not dash:
        raise TimeError(f"not a span: {text!r}")
    return _checked(parse_time(start), parse_time(end), text)


def format_span(span: Interval) -> str:
    """The interval as ``09:00-10:30``."""
    return f"{format_time(span.start)}-{format_time(span.end)}"


def format_length(minutes: int) -> str:
    """A length as ``45 min``, ``2 h`` or ``1 h 30 min``."""
    hours, rest = divmod(minutes, 60)
    if hours == 0:
        return f"{rest} min"
    return f"{hours} h {rest} min" if rest else f"{hours} h"


def round_to_grid(minutes: int, grid: int = 15, up: bool = False) -> int:
    """The last multiple of the grid up to a time, or the first from it on. Raises TimeError."""
    if grid < 1:
        raise TimeError(f"a grid of {grid} minutes")
    if up:
        return -(-minutes // grid) * grid
    return minutes // grid * grid


def _checked(start: int, end: int, text: str) -> Interval:
    if end <= start or end > DAY:
        raise TimeError(f"not a span within a day: {text!r}")
    return Interval(start, end)
