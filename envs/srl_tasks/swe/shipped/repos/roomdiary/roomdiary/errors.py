"""What can go wrong with rooms and times; all of it is a DiaryError."""


class DiaryError(Exception):
    """The base of every error raised here."""


class TimeError(DiaryError, ValueError):
    """A text that is no time, or a time that cannot be."""


class Closed(DiaryError):
    """A booking outside the opening hours."""


class BookingConflict(DiaryError):
    """A booking at a time that is taken; by: the titles of the bookings in the way."""

    def __init__(self, room: str, by: list[str]) -> None:
        super().__init__(f"{room} is taken by {', '.join(by)}")
        self.by = by


class UnknownBooking(DiaryError, LookupError):
    """A room or a booking that is not in the diary."""
