"""How full rooms were, and what is on."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from roomdiary.clock import format_length, format_span
from roomdiary.diary import Diary
from roomdiary.interval import Interval, total_minutes


def usage_percent(diary: Diary, room: str, days: Iterable[date]) -> float:
    """The booked part of a room's open time over some days, with one digit; 0 if never open."""
    opened = booked = 0
    for day in days:
        opened += total_minutes(diary.hours.on(day))
        booked += total_minutes(booking.span for booking in diary.on(day, room))
    if opened == 0:
        return 0.0
    return round(100 * booked / opened, 1)


def busiest_hour(diary: Diary, day: date) -> int | None:
    """The hour of a day with the most booked minutes over all rooms; the earliest of equals.

    None without bookings.
    """
    best, most = None, 0
    for hour in range(24):
        window = Interval(hour * 60, hour * 60 + 60)
        parts = [booking.span.common(window) for booking in diary.on(day)]
        booked = sum(len(part) for part in parts if part is not None)
        if booked > most:
            best, most = hour, booked
    return best


def seat_use(diary: Diary, days: Iterable[date]) -> dict[str, int]:
    """By room, how many percent of the seats were used in its bookings; unused rooms left out."""
    people: dict[str, int] = {}
    seats: dict[str, int] = {}
    for day in days:
        for booking in diary.on(day):
            people[booking.room] = people.get(booking.room, 0) + booking.people
            seats[booking.room] = seats.get(booking.room, 0) + diary.room(booking.room).seats
    return {room: round(100 * people[room] / seats[room]) for room in sorted(people)}


def agenda(diary: Diary, day: date) -> str:
    """The bookings of a day, a line each: span, room, title and length."""
    lines = [
        f"{format_span(booking.span)}  {booking.room}: {booking.title}"
        f" ({format_length(len(booking.span))})"
        for booking in diary.on(day)
    ]
    return "\n".join(lines) if lines else "nothing booked"
