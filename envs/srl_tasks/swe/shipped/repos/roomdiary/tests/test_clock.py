import pytest

from roomdiary.clock import (
    format_length,
    format_span,
    format_time,
    parse_span,
    parse_time,
    round_to_grid,
)
from roomdiary.errors import TimeError
from roomdiary.interval import Interval


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("0:00", 0),
        ("9", 540),
        ("9:05", 545),
        ("09:30", 570),
        (" 17:45 ", 1065),
        ("24:00", 1440),
        ("12am", 0),
        ("12:30 pm", 750),
        ("9pm", 1260),
        ("11:59 PM", 1439),
    ],
)
def test_times_are_read(text, minutes):
    assert parse_time(text) == minutes


@pytest.mark.parametrize(
    "text", ["", "9:5", "9:60", "24:01", "25:00", "13pm", "0am", "nine", "9:00x"]
)
def test_other_texts_are_no_times(text):
    with pytest.raises(TimeError, match="not a time"):
        parse_time(text)


def test_times_are_written_with_two_digits():
    assert format_time(0) == "00:00"
    assert format_time(545) == "09:05"
    assert format_time(1440) == "24:00"


@pytest.mark.parametrize("minutes", [-1, 1441])
def test_only_minutes_of_a_day_are_written(minutes):
    with pytest.raises(TimeError, match="no time of day"):
        format_time(minutes)


def test_spans_have_an_end_or_a_length():
    assert parse_span("9:00-10:30") == Interval(540, 630)
    assert parse_span("9am - 1pm") == Interval(540, 780)
    assert parse_span("9:00+90") == Interval(540, 630)
    assert parse_span("23:00+60") == Interval(1380, 1440)


@pytest.mark.parametrize("text", ["9:00", "10:00-9:00", "9:00-9:00", "23:30+45", "9:00+0"])
def test_a_span_ends_after_its_start_and_within_the_day(text):
    with pytest.raises(TimeError, match="not a span"):
        parse_span(text)


def test_a_length_is_a_number():
    with pytest.raises(TimeError, match="not a length"):
        parse_span("9:00+1h")


def test_spans_and_lengths_are_written():
    assert format_span(Interval(540, 630)) == "09:00-10:30"
    assert format_length(45) == "45 min"
    assert format_length(60) == "1 h"
    assert format_length(150) == "2 h 30 min"


def test_rounding_down_and_up_to_a_grid():
    assert [round_to_grid(minutes) for minutes in (0, 14, 15, 16)] == [0, 0, 15, 15]
    assert [round_to_grid(minutes, up=True) for minutes in (0, 14, 15, 16)] == [0, 15, 15, 30]
    assert round_to_grid(125, grid=60) == 120


def test_a_grid_has_at_least_a_minute():
    assert round_to_grid(7, grid=1) == 7
    with pytest.raises(TimeError, match="grid of 0"):
        round_to_grid(7, grid=0)
