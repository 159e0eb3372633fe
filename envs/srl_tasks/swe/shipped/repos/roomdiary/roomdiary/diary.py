"""Rooms and their bookings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

from roomdiary.clock import format_span
from roomdiary.errors import BookingConflict, Closed, DiaryError, UnknownBooking
from roomdiary.interval import Interval
from roomdiary.opening import OpeningHours
from roomdiary.recurrence import Rule, occurrences


@dataclass(frozen=True)
class Room:
    """A room; setup_minutes: time that must stay free between two bookings."""

    name: str
    seats: int = 4
    setup_minutes: int = 0
    features: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Booking:
    """A room taken for a span of one day."""

    number: int
    room: str
    day: date
    span: Interval
    title: str
    people: int = 1


class Diary:
    """All bookings of all rooms."""

    def __init__(self, hours: OpeningHours) -> None:
        self.hours = hours
        self._rooms: dict[str, Room] = {}
        self._bookings: dict[int, Booking] = {}
        self._last_number = 0

    def add_room(self, room: Room) -> None:
        """Adds a room. Raises DiaryError for a name that is taken."""
        if room.name in self._rooms:
            raise DiaryError(f"there is a room {room.name} already")
        self._rooms[room.name] = room

    def room(self, name: str) -> Room:
        """The room of a name. Raises UnknownBooking."""
        if name not in self._rooms:
            raise UnknownBooking(f"no room {name}")
        return self._rooms[name]

    def rooms(self) -> list[Room]:
        """All rooms, those with the fewest seats first."""
        return sorted(self._rooms.values(), key=lambda room: (room.seats, room.name))

    def book(self, room: str, day: date, span: Interval, title: str, people: int = 1) -> Booking:
        """Books a room. Raises UnknownBooking, DiaryError, Closed, BookingConflict."""
        self._check(room, day, span, people)
        self._last_number += 1
        booking = Booking(self._last_number, room, day, span, title, people)
        self._bookings[booking.number] = booking
        return booking

    def book_rule(self, room: str, rule: Rule, span: Interval, title: str) -> list[Booking]:
        """Books a room on every day of a rule, or on none of them. Raises what `book` does."""
        days = occurrences(rule)
        for day in days:
            self._check(room, day, span, 1)
        return [self.book(room, day, span, title) for day in days]

    def move(self, number: int, day: date, span: Interval) -> Booking:
        """Moves a booking to another time; it is not in its own way.

        Raises what `book` does, and leaves the booking as it was.
        """
        booking = self.booking(number)
        self._check(booking.room, day, span, booking.people, without=number)
        self._bookings[number] = replace(booking, day=day, span=span)
        return self._bookings[number]

    def cancel(self, number: int) -> Booking:
        """Removes a booking and returns it. Raises UnknownBooking."""
        booking = self.booking(number)
        del self._bookings[number]
        return booking

    def booking(self, number: int) -> Booking:
        """The booking of a number. Raises UnknownBooking."""
        if number not in self._bookings:
            raise UnknownBooking(f"no booking {number}")
        return self._bookings[number]

    def on(self, day: date, room: str | None = None) -> list[Booking]:
        """The bookings of a day, by start and room; of one room where it is named."""
        found = [
            booking
            for booking in self._bookings.values()
            if booking.day == day and room in (None, booking.room)
        ]
        return sorted(found, key=lambda booking: (booking.span, booking.room))

    def conflicts(self, room: str, day: date, span: Interval) -> list[Booking]:
        """The bookings in the way of a span, with the room's time for setting up."""
        setup = self.room(room).setup_minutes
        wide = Interval(span.start - setup, span.end + setup)
        return [booking for booking in self.on(day, room) if booking.span.overlaps(wide)]

    def _check(
        self, name: str, day: date, span: Interval, people: int, without: int | None = None
    ) -> None:
        room = self.room(name)
        if not 1 <= people <= room.seats:
            raise DiaryError(f"{name} has {room.seats} seats; {people} people do not fit")
        if not self.hours.allows(day, span):
            raise Closed(f"not open on {day} at {format_span(span)}")
        taken = [other for other in self.conflicts(name, day, span) if other.number != without]
        if taken:
            raise BookingConflict(name, [other.title for other in taken])
