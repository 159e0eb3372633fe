"""Meeting rooms: opening hours, bookings that repeat, free slots, and how full it was."""

from roomdiary.clock import format_time, parse_span, parse_time, round_to_grid
from roomdiary.dates import add_months, nth_weekday, working_days
from roomdiary.diary import Booking, Diary, Room
from roomdiary.errors import BookingConflict, Closed, DiaryError, TimeError, UnknownBooking
from roomdiary.interval import Interval, gaps, merge, subtract, total_minutes
from roomdiary.opening import OpeningHours
from roomdiary.recurrence import Rule, occurrences
from roomdiary.search import common_slot, fitting_rooms, free_slots
from roomdiary.usage import agenda, busiest_hour, usage_percent

__all__ = [
    "Booking",
    "BookingConflict",
    "Closed",
    "Diary",
    "DiaryError",
    "Interval",
    "OpeningHours",
    "Room",
    "Rule",
    "TimeError",
    "UnknownBooking",
    "add_months",
    "agenda",
    "busiest_hour",
    "common_slot",
    "fitting_rooms",
    "format_time",
    "free_slots",
    "gaps",
    "merge",
    "nth_weekday",
    "occurrences",
    "parse_span",
    "parse_time",
    "round_to_grid",
    "subtract",
    "total_minutes",
    "usage_percent",
    "working_days",
]
