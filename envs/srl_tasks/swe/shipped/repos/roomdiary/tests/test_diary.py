from datetime import date

import pytest

from roomdiary.clock import parse_span
from roomdiary.diary import Booking, Diary, Room
from roomdiary.errors import BookingConflict, Closed, DiaryError, UnknownBooking
from roomdiary.opening import OpeningHours
from roomdiary.recurrence import Rule

MONDAY, TUESDAY = date(2024, 5, 6), date(2024, 5, 7)


def make_diary():
    made = Diary(OpeningHours.weekdays("9:00-17:00"))
    made.add_room(Room("Oak", seats=12, setup_minutes=15))
    made.add_room(Room("Elm", seats=4))
    made.add_room(Room("Ash", seats=4))
    return made


def titles(bookings):
    return [booking.title for booking in bookings]


def test_a_booking_is_numbered_and_kept():
    diary = make_diary()
    booking = diary.book("Elm", MONDAY, parse_span("9-10"), "one", people=3)
    assert booking == Booking(1, "Elm", MONDAY, parse_span("9-10"), "one", 3)
    assert diary.booking(1) == booking
    assert diary.book("Ash", MONDAY, parse_span("9-10"), "two").number == 2


def test_bookings_may_follow_one_another():
    diary = make_diary()
    diary.book("Elm", MONDAY, parse_span("9-10"), "one")
    diary.book("Elm", MONDAY, parse_span("10-11"), "two")
    assert titles(diary.on(MONDAY)) == ["one", "two"]


def test_a_taken_room_is_refused():
    diary = make_diary()
    diary.book("Elm", MONDAY, parse_span("9-10"), "one")
    diary.book("Elm", MONDAY, parse_span("10-11"), "two")
    with pytest.raises(BookingConflict, match="Elm is taken by one, two") as caught:
        diary.book("Elm", MONDAY, parse_span("9:30-10:30"), "three")
    assert caught.value.by == ["one", "two"]


def test_other_rooms_and_days_are_not_in_the_way():
    diary = make_diary()
    diary.book("Elm", MONDAY, parse_span("9-10"), "one")
    assert diary.conflicts("Elm", TUESDAY, parse_span("9-10")) == []
    assert diary.conflicts("Ash", MONDAY, parse_span("9-10")) == []


def test_setting_up_takes_time_before_and_after():
    diary = make_diary()
    diary.book("Oak", MONDAY, parse_span("10-11"), "one")
    assert titles(diary.conflicts("Oak", MONDAY, parse_span("11:00-11:30"))) == ["one"]
    assert titles(diary.conflicts("Oak", MONDAY, parse_span("9:30-9:50"))) == ["one"]
    assert diary.conflicts("Oak", MONDAY, parse_span("11:15-11:30")) == []
    assert diary.conflicts("Oak", MONDAY, parse_span("9:30-9:45")) == []


@pytest.mark.parametrize("people", [0, 5])
def test_people_must_fit(people):
    diary = make_diary()
    with pytest.raises(DiaryError, match="4 seats"):
        diary.book("Elm", MONDAY, parse_span("9-10"), "one", people)


def test_every_seat_may_be_taken():
    diary = make_diary()
    assert diary.book("Elm", MONDAY, parse_span("9-10"), "one", people=4).people == 4


def test_a_closed_building_is_not_booked():
    diary = make_diary()
    with pytest.raises(Closed, match="2024-05-11 at 09:00-10:00"):
        diary.book("Elm", date(2024, 5, 11), parse_span("9-10"), "one")
    with pytest.raises(Closed):
        diary.book("Elm", MONDAY, parse_span("16:30-17:30"), "one")


def test_unknown_rooms_and_bookings():
    diary = make_diary()
    with pytest.raises(UnknownBooking, match="no room Fir"):
        diary.book("Fir", MONDAY, parse_span("9-10"), "one")
    with pytest.raises(UnknownBooking, match="no booking 7"):
        diary.booking(7)


def test_a_room_is_added_once():
    diary = make_diary()
    with pytest.raises(DiaryError, match="already"):
        diary.add_room(Room("Elm"))


def test_rooms_are_listed_by_seats_and_name():
    diary = make_diary()
    assert [room.name for room in diary.rooms()] == ["Ash", "Elm", "Oak"]


def test_a_rule_books_every_day():
    diary = make_diary()
    rule = Rule(MONDAY, "week", count=2)
    booked = diary.book_rule("Elm", rule, parse_span("9-10"), "jour fixe")
    assert [(booking.number, booking.day) for booking in booked] == [
        (1, MONDAY),
        (2, date(2024, 5, 13)),
    ]


def test_a_rule_books_nothing_where_one_day_is_taken():
    diary = make_diary()
    diary.book("Elm", date(2024, 5, 13), parse_span("9-10"), "one")
    with pytest.raises(BookingConflict):
        diary.book_rule("Elm", Rule(MONDAY, "week", count=2), parse_span("9-10"), "jour fixe")
    assert diary.on(MONDAY) == []


def test_a_booking_is_moved():
    diary = make_diary()
    diary.book("Elm", MONDAY, parse_span("9-10"), "one")
    moved = diary.move(1, TUESDAY, parse_span("9:30-10:30"))
    assert moved.number == 1
    assert diary.on(MONDAY) == []
    assert diary.on(TUESDAY) == [moved]


def test_a_booking_is_not_in_its_own_way():
    diary = make_diary()
    diary.book("Elm", MONDAY, parse_span("9-10"), "one")
    assert diary.move(1, MONDAY, parse_span("9:30-10:30")).span == parse_span("9:30-10:30")


def test_a_move_that_fails_changes_nothing():
    diary = make_diary()
    first = diary.book("Elm", MONDAY, parse_span("9-10"), "one")
    diary.book("Elm", MONDAY, parse_span("10-11"), "two")
    with pytest.raises(BookingConflict):
        diary.move(1, MONDAY, parse_span("9:30-10:30"))
    assert diary.booking(1) == first


def test_a_cancelled_booking_is_gone_and_its_number_not_used_again():
    diary = make_diary()
    diary.book("Elm", MONDAY, parse_span("9-10"), "one")
    assert diary.cancel(1).title == "one"
    assert diary.on(MONDAY) == []
    with pytest.raises(UnknownBooking):
        diary.cancel(1)
    assert diary.book("Elm", MONDAY, parse_span("9-10"), "two").number == 2


def test_bookings_of_a_day_are_in_order():
    diary = make_diary()
    diary.book("Elm", MONDAY, parse_span("11-12"), "late")
    diary.book("Elm", MONDAY, parse_span("9-10"), "early")
    diary.book("Ash", MONDAY, parse_span("9-10"), "first")
    assert titles(diary.on(MONDAY)) == ["first", "early", "late"]
    assert titles(diary.on(MONDAY, "Elm")) == ["early", "late"]
