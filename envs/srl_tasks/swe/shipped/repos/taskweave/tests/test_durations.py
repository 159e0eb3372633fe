import pytest

from taskweave.durations import day_and_hour, format_hours, parse_hours
from taskweave.errors import PlanSyntax


@pytest.mark.parametrize(
    ("text", "hours"),
    [("3h", 3), ("2d", 16), ("1w", 40), ("1w 2d 4h", 60), ("1d4h", 12), (" 2 D ", 16), ("0h", 0)],
)
def test_durations_are_read(text, hours):
    assert parse_hours(text) == hours


@pytest.mark.parametrize("text", ["3", "h", "3m", "2d x", "-2d"])
def test_other_texts_are_no_durations(text):
    with pytest.raises(PlanSyntax, match="not a duration"):
        parse_hours(text)


@pytest.mark.parametrize("text", ["4h 1d", "1d 1d", "1d 1w"])
def test_units_come_once_and_in_order(text):
    with pytest.raises(PlanSyntax, match="out of order"):
        parse_hours(text)


def test_an_empty_text_is_no_duration():
    with pytest.raises(PlanSyntax, match="empty"):
        parse_hours("  ")


@pytest.mark.parametrize(
    ("hours", "text"),
    [(0, "0h"), (7, "7h"), (8, "1d"), (60, "1w 2d 4h"), (41, "1w 1h"), (80, "2w"), (-12, "-1d 4h")],
)
def test_durations_are_written(hours, text):
    assert format_hours(hours) == text


def test_a_moment_has_a_day_and_an_hour():
    assert day_and_hour(0) == (1, 0)
    assert day_and_hour(7) == (1, 7)
    assert day_and_hour(8) == (2, 0)
