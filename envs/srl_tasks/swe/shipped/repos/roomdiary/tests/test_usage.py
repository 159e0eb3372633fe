from datetime import date

from roomdiary.clock import parse_span
from roomdiary.dates import week_of
from roomdiary.diary import Diary, Room
from roomdiary.opening import OpeningHours
from roomdiary.usage import agenda, busiest_hour, seat_use, usage_percent

MONDAY, SATURDAY = date(2024, 5, 6), date(2024, 5, 11)


def make_diary():
    made = Diary(OpeningHours.weekdays("9:00-17:00"))
    made.add_room(Room("Oak", 12))
    made.add_room(Room("Elm", 4))
    made.add_room(Room("Ash", 4))
    made.book("Elm", MONDAY, parse_span("10:00-12:00"), "planning", people=3)
    made.book("Oak", MONDAY, parse_span("10:30-11:30"), "talk", people=6)
    made.book("Elm", date(2024, 5, 7), parse_span("16:15-17:00"), "review", people=4)
    return made


def test_usage_is_the_booked_part_of_the_open_time():
    diary = make_diary()
    assert usage_percent(diary, "Elm", [MONDAY]) == 25.0
    assert usage_percent(diary, "Elm", week_of(MONDAY)) == 6.9
    assert usage_percent(diary, "Ash", [MONDAY]) == 0.0


def test_a_closed_day_is_not_used():
    diary = make_diary()
    assert usage_percent(diary, "Elm", [SATURDAY]) == 0.0
    assert usage_percent(diary, "Elm", []) == 0.0


def test_the_busiest_hour_has_the_most_minutes():
    diary = make_diary()
    assert busiest_hour(diary, MONDAY) == 10
    assert busiest_hour(diary, date(2024, 5, 7)) == 16
    diary.book("Ash", MONDAY, parse_span("11:00-11:30"), "call")
    assert busiest_hour(diary, MONDAY) == 11


def test_without_bookings_no_hour_is_busiest():
    diary = make_diary()
    assert busiest_hour(diary, SATURDAY) is None


def test_seats_used_by_room():
    diary = make_diary()
    assert seat_use(diary, week_of(MONDAY)) == {"Elm": 88, "Oak": 50}
    assert seat_use(diary, [SATURDAY]) == {}


def test_the_agenda_of_a_day():
    diary = make_diary()
    assert agenda(diary, MONDAY) == (
        "10:00-12:00  Elm: planning (2 h)\n10:30-11:30  Oak: talk (1 h)"
    )
    assert agenda(diary, date(2024, 5, 7)) == "16:15-17:00  Elm: review (45 min)"
    assert agenda(diary, SATURDAY) == "nothing booked"
