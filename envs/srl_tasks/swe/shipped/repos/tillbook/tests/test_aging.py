from datetime import date

import pytest

from tillbook.aging import aging_report, bucket_for, days_overdue, late_fee, reminder_level
from tillbook.money import Money
from tillbook.payments import Account, Payment


def test_days_count_from_the_day_after_the_due_date():
    assert days_overdue(date(2024, 2, 28), date(2024, 3, 1)) == 2
    assert days_overdue(date(2024, 2, 28), date(2024, 2, 28)) == 0
    assert days_overdue(date(2024, 2, 28), date(2024, 1, 1)) == 0


@pytest.mark.parametrize(
    ("days", "bucket"),
    [
        (0, "current"),
        (1, "1-30"),
        (30, "1-30"),
        (31, "31-60"),
        (60, "31-60"),
        (61, "61-90"),
        (90, "61-90"),
        (91, "over 90"),
    ],
)
def test_each_day_has_its_bucket(days, bucket):
    assert bucket_for(days) == bucket


def test_the_report_names_every_bucket():
    assert aging_report([], date(2024, 5, 1)) == {
        "current": 0,
        "1-30": 0,
        "31-60": 0,
        "61-90": 0,
        "over 90": 0,
    }


def test_open_amounts_are_added_up_by_bucket():
    account = Account()
    account.charge("A", date(2024, 4, 30), Money(300))
    account.charge("B", date(2024, 4, 20), Money(200))
    account.charge("C", date(2024, 5, 5), Money(70))
    account.charge("D", date(2023, 5, 5), Money(1000))
    account.receive(Payment(date(2024, 5, 1), Money(100), "D"))
    report = aging_report(account.open_items(), date(2024, 5, 1))
    assert report == {"current": 70, "1-30": 500, "31-60": 0, "61-90": 0, "over 90": 900}


@pytest.mark.parametrize(
    ("days", "level"), [(0, 0), (5, 0), (6, 1), (19, 1), (20, 2), (33, 2), (34, 3), (400, 3)]
)
def test_reminders_become_firmer_every_two_weeks(days, level):
    assert reminder_level(days) == level


def test_days_of_grace_can_be_changed():
    assert reminder_level(1, grace_days=0) == 1
    assert reminder_level(15, grace_days=0) == 2


def test_a_late_fee_is_interest_by_the_day():
    assert late_fee(Money(1_000_000), 73) == Money(18_000)
    assert late_fee(Money(1_000_000), 73, yearly_percent=5) == Money(10_000)


def test_a_late_fee_has_a_minimum():
    assert late_fee(Money(1000), 10) == Money(500)
    assert late_fee(Money(1000), 10, minimum=0) == Money(2)


def test_nothing_is_charged_when_nothing_is_late():
    assert late_fee(Money(1000, "USD"), 0) == Money(0, "USD")
    assert late_fee(Money(0), 10) == Money(0)
    assert late_fee(Money(-100), 10) == Money(0)
