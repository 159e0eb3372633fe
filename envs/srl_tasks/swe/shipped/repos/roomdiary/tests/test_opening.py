from datetime import date

import pytest

from roomdiary.errors import TimeError
from roomdiary.interval import Interval
from roomdiary.opening import OpeningHours

MONDAY, SATURDAY = date(2024, 5, 6), date(2024, 5, 11)


def make_hours():
    return OpeningHours.weekdays("9:00-12:00", "13:00-17:00")


def test_working_days_have_hours_and_weekends_have_none():
    hours = make_hours()
    assert hours.on(MONDAY) == [Interval(540, 720), Interval(780, 1020)]
    assert hours.on(date(2024, 5, 10)) == hours.on(MONDAY)
    assert hours.on(SATURDAY) == []


def test_spans_that_touch_are_one():
    assert OpeningHours.weekdays("9-12", "12-17").on(MONDAY) == [Interval(540, 1020)]


def test_a_special_day_has_its_own_hours():
    hours = make_hours()
    hours.set_special(MONDAY, "10:00-11:00")
    hours.set_special(SATURDAY, "10:00-11:00")
    assert hours.on(MONDAY) == [Interval(600, 660)]
    assert hours.on(SATURDAY) == [Interval(600, 660)]


def test_a_special_day_without_hours_is_closed():
    hours = make_hours()
    hours.set_special(MONDAY)
    assert hours.on(MONDAY) == []


def test_open_at_a_moment():
    hours = make_hours()
    assert hours.is_open(MONDAY, 540)
    assert not hours.is_open(MONDAY, 720)
    assert not hours.is_open(SATURDAY, 600)


def test_a_span_must_lie_within_one_stretch():
    hours = make_hours()
    assert hours.allows(MONDAY, Interval(540, 720))
    assert not hours.allows(MONDAY, Interval(700, 800))
    assert not hours.allows(MONDAY, Interval(480, 600))


def test_hours_are_read_from_text():
    hours = OpeningHours.parse("""
        mon-thu: 9:00-12:00, 13:00-17:00
        fri: 9:00-12:00

        sat-mon: 10:00-11:00
        thu: closed
    """)
    assert hours.on(date(2024, 5, 7)) == [Interval(540, 720), Interval(780, 1020)]
    assert hours.on(date(2024, 5, 9)) == []
    assert hours.on(date(2024, 5, 10)) == [Interval(540, 720)]
    assert hours.on(date(2024, 5, 12)) == [Interval(600, 660)]
    assert hours.on(MONDAY) == [Interval(600, 660)]


@pytest.mark.parametrize("text", ["someday: 9-10", "mon: early", "mon-xyz: 9-10"])
def test_other_texts_are_refused(text):
    with pytest.raises(TimeError):
        OpeningHours.parse(text)


def test_minutes_of_a_week():
    hours = make_hours()
    assert hours.weekly_minutes() == 5 * 7 * 60
    hours.set_special(MONDAY)
    assert hours.weekly_minutes() == 5 * 7 * 60
