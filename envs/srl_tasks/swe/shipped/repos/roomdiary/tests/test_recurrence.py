from datetime import date

import pytest

from roomdiary.errors import TimeError
from roomdiary.recurrence import Rule, next_occurrence, occurrences, parse_rule

WEDNESDAY = date(2024, 5, 1)


def days(rule):
    return [day.isoformat() for day in occurrences(rule)]


def test_every_third_day():
    assert days(Rule(WEDNESDAY, "day", every=3, count=3)) == [
        "2024-05-01",
        "2024-05-04",
        "2024-05-07",
    ]


def test_a_weekly_rule_keeps_the_weekday_of_the_first_day():
    assert days(Rule(WEDNESDAY, "week", count=2)) == ["2024-05-01", "2024-05-08"]


def test_a_weekly_rule_may_name_weekdays():
    rule = Rule(WEDNESDAY, "week", weekdays=(0, 4), count=4)
    assert days(rule) == ["2024-05-03", "2024-05-06", "2024-05-10", "2024-05-13"]


def test_every_second_week_leaves_one_out():
    rule = Rule(WEDNESDAY, "week", every=2, weekdays=(0, 2), count=4)
    assert days(rule) == ["2024-05-01", "2024-05-13", "2024-05-15", "2024-05-27"]


def test_a_monthly_rule_keeps_the_day_where_there_is_one():
    rule = Rule(date(2024, 1, 31), "month", count=4)
    assert days(rule) == ["2024-01-31", "2024-02-29", "2024-03-31", "2024-04-30"]


def test_every_second_month():
    assert days(Rule(WEDNESDAY, "month", every=2, count=2)) == ["2024-05-01", "2024-07-01"]


def test_the_last_day_is_included():
    assert len(occurrences(Rule(WEDNESDAY, "day", until=date(2024, 5, 3)))) == 3


def test_the_end_that_comes_first_counts():
    assert len(occurrences(Rule(WEDNESDAY, "day", count=9, until=date(2024, 5, 3)))) == 3
    assert len(occurrences(Rule(WEDNESDAY, "day", count=2, until=date(2024, 5, 3)))) == 2


def test_exceptions_count_as_having_been():
    rule = Rule(WEDNESDAY, "day", count=3, except_on=frozenset({date(2024, 5, 2)}))
    assert days(rule) == ["2024-05-01", "2024-05-03"]


def test_a_rule_without_end_is_cut():
    assert len(occurrences(Rule(WEDNESDAY, "day"))) == 500
    assert occurrences(Rule(WEDNESDAY, "day", count=0)) == []


@pytest.mark.parametrize(
    ("unit", "every", "weekdays"), [("year", 1, ()), ("day", 0, ()), ("day", 1, (0,))]
)
def test_impossible_rules_are_refused(unit, every, weekdays):
    with pytest.raises(TimeError):
        Rule(WEDNESDAY, unit, every, weekdays)


def test_the_next_occurrence_is_later():
    rule = Rule(WEDNESDAY, "week", count=2)
    assert next_occurrence(rule, date(2024, 4, 1)) == WEDNESDAY
    assert next_occurrence(rule, WEDNESDAY) == date(2024, 5, 8)
    assert next_occurrence(rule, date(2024, 5, 8)) is None


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("daily", Rule(WEDNESDAY, "day")),
        ("Weekly", Rule(WEDNESDAY, "week")),
        ("monthly, 3 times", Rule(WEDNESDAY, "month", count=3)),
        ("weekly on thu, mon", Rule(WEDNESDAY, "week", weekdays=(0, 3))),
        ("every 2 weeks", Rule(WEDNESDAY, "week", 2)),
        ("every 2 weeks on friday, 5 times", Rule(WEDNESDAY, "week", 2, (4,), 5)),
        ("every 1 month", Rule(WEDNESDAY, "month", 1)),
        ("every 10 days", Rule(WEDNESDAY, "day", 10)),
    ],
)
def test_rules_are_read(text, rule):
    assert parse_rule(text, WEDNESDAY) == rule


@pytest.mark.parametrize(
    "text",
    ["", "often", "every week", "every 0 days", "every x days", "daily, times", "every 2 years"],
)
def test_other_texts_are_no_rules(text):
    with pytest.raises(TimeError):
        parse_rule(text, WEDNESDAY)
