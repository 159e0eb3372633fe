from datetime import date

import pytest

from roomdiary.dates import (
    add_months,
    add_working_days,
    is_working_day,
    nth_weekday,
    week_of,
    weekday_number,
    working_days,
)
from roomdiary.errors import TimeError

MAY_1 = date(2024, 5, 1)


def test_weekdays_are_known_by_three_letters():
    assert weekday_number("mon") == 0
    assert weekday_number(" Thursday ") == 3
    assert weekday_number("SUN") == 6
    with pytest.raises(TimeError, match="'day'"):
        weekday_number("day")


@pytest.mark.parametrize(
    ("day", "months", "expected"),
    [
        (date(2024, 1, 15), 1, date(2024, 2, 15)),
        (date(2024, 1, 31), 1, date(2024, 2, 29)),
        (date(2023, 1, 31), 1, date(2023, 2, 28)),
        (date(2024, 11, 30), 3, date(2025, 2, 28)),
        (date(2024, 3, 31), -1, date(2024, 2, 29)),
        (date(2024, 1, 5), -1, date(2023, 12, 5)),
        (date(2024, 12, 5), 0, date(2024, 12, 5)),
        (date(2024, 6, 1), 24, date(2026, 6, 1)),
    ],
)
def test_months_are_added(day, months, expected):
    assert add_months(day, months) == expected


def test_the_nth_weekday_of_a_month():
    assert nth_weekday(2024, 5, 0, 1) == date(2024, 5, 6)
    assert nth_weekday(2024, 5, 2, 1) == date(2024, 5, 1)
    assert nth_weekday(2024, 5, 4, 5) == date(2024, 5, 31)


def test_weekdays_are_counted_from_the_end_as_well():
    assert nth_weekday(2024, 5, 0, -1) == date(2024, 5, 27)
    assert nth_weekday(2024, 5, 4, -5) == date(2024, 5, 3)


@pytest.mark.parametrize("nth", [0, 5, -5])
def test_a_month_may_lack_a_weekday(nth):
    with pytest.raises(TimeError, match=f"number {nth}"):
        nth_weekday(2024, 5, 0, nth)


def test_working_days_are_no_holidays_and_no_weekends():
    assert is_working_day(date(2024, 5, 3))
    assert not is_working_day(date(2024, 5, 4))
    assert not is_working_day(date(2024, 5, 5))
    assert not is_working_day(MAY_1, {MAY_1})


def test_working_days_are_counted_with_both_ends():
    assert working_days(date(2024, 5, 1), date(2024, 5, 1)) == 1
    assert working_days(date(2024, 5, 1), date(2024, 5, 8)) == 6
    assert working_days(date(2024, 5, 1), date(2024, 5, 8), {MAY_1, date(2024, 5, 4)}) == 5
    assert working_days(date(2024, 5, 8), date(2024, 5, 1)) == 0


def test_working_days_are_added():
    assert add_working_days(date(2024, 5, 3), 1) == date(2024, 5, 6)
    assert add_working_days(date(2024, 5, 3), 6) == date(2024, 5, 13)
    assert add_working_days(date(2024, 5, 6), -1) == date(2024, 5, 3)
    assert add_working_days(date(2024, 5, 4), 0) == date(2024, 5, 4)
    assert add_working_days(date(2024, 4, 30), 1, {MAY_1}) == date(2024, 5, 2)


def test_a_week_begins_on_monday():
    week = week_of(MAY_1)
    assert week[0] == date(2024, 4, 29)
    assert week[-1] == date(2024, 5, 5)
    assert len(week) == 7
    assert week_of(date(2024, 5, 5)) == week
