"""Finding time and rooms."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta

from roomdiary.clock import round_to_grid
from roomdiary.diary import Diary, Room
from roomdiary.interval import Interval, intersect, subtract


def free_slots(diary: Diary, room: str, day: date, minutes: int = 1) -> list[Interval]:
    """The free spans of a room on a day that are at least so long, in order."""
    setup = diary.room(room).setup_minutes
    taken = [
        Interval(booking.span.start - setup, booking.span.end + setup)
        for booking in diary.on(day, room)
    ]
    free = subtract(diary.hours.on(day), taken)
    return [span for span in free if len(span) >= minutes]


def fitting_rooms(
    diary: Diary, day: date, span: Interval, people: int = 1, features: Iterable[str] = ()
) -> list[Room]:
    """The rooms with the seats and features that are free for a span, the smallest first."""
    needed = frozenset(features)
    if not diary.hours.allows(day, span):
        return []
    return [
        room
        for room in diary.rooms()
        if room.seats >= people
        and needed <= room.features
        and not diary.conflicts(room.name, day, span)
    ]


def common_slot(
    diary: Diary, rooms: Sequence[str], day: date, minutes: int, grid: int = 15
) -> Interval | None:
    """The first span of a day, starting on the grid, when all rooms are free; None without one."""
    free = diary.hours.on(day)
    for room in rooms:
        free = intersect(free, free_slots(diary, room, day))
    for span in free:
        start = round_to_grid(span.start, grid, up=True)
        if start + minutes <= span.end:
            return Interval(start, start + minutes)
    return None


def next_common_slot(
    diary: Diary, rooms: Sequence[str], first: date, minutes: int, days: int = 14
) -> tuple[date, Interval] | None:
    """The first day, of so many, with a span when all rooms are free, and that span."""
    for offset in range(days):
        day = first + timedelta(days=offset)
        slot = common_slot(diary, rooms, day, minutes)
        if slot is not None:
            return day, slot
    return None
