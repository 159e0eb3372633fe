"""Working time in whole hours: a day has eight of them, a week five days."""

from __future__ import annotations

import re

from taskweave.errors import PlanSyntax

HOURS = {"h": 1, "d": 8, "w": 40}
_PART = re.compile(r"(\d+)\s*([hdw])")


def parse_hours(text: str) -> int:
    """The hours of ``3h``, ``2d``, ``1w 2d 4h``; each unit once, the largest first.

    Raises PlanSyntax.
    """
    rest = text.strip().lower()
    total, largest = 0, HOURS["w"] + 1
    while rest:
        match = _PART.match(rest)
        if match is None:
            raise PlanSyntax(f"not a duration: {text!r}")
        unit = HOURS[match[2]]
        if unit >= largest:
            raise PlanSyntax(f"units out of order: {text!r}")
        total += int(match[1]) * unit
        largest = unit
        rest = rest[match.end() :].lstrip()
    if largest > HOURS["w"]:
        raise PlanSyntax("an empty duration")
    return total


def format_hours(hours: int) -> str:
    """The hours as ``1w 2d 4h``, without what is zero; ``0h`` for none, ``-2h`` below it."""
    if hours < 0:
        return "-" + format_hours(-hours)
    parts = []
    for unit in ("w", "d", "h"):
        count, hours = divmod(hours, HOURS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts) or "0h"


def day_and_hour(moment: int) -> tuple[int, int]:
    """The working day, from 1, and the hour of it, from 0, of a moment in hours."""
    return moment // HOURS["d"] + 1, moment % HOURS["d"]
