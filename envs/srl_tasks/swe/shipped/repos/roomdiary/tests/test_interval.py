import pytest

from roomdiary.errors import TimeError
from roomdiary.interval import Interval, gaps, intersect, merge, subtract, total_minutes

SPAN = Interval(10, 20)


@pytest.mark.parametrize("end", [10, 9])
def test_an_interval_is_not_empty(end):
    with pytest.raises(TimeError, match="empty"):
        Interval(10, end)


def test_the_start_is_inside_and_the_end_is_not():
    assert 10 in SPAN
    assert 19 in SPAN
    assert 20 not in SPAN
    assert 9 not in SPAN
    assert len(SPAN) == 10


@pytest.mark.parametrize(
    ("start", "end", "overlaps", "touches"),
    [
        (0, 9, False, False),
        (0, 10, False, True),
        (0, 11, True, True),
        (12, 15, True, True),
        (5, 25, True, True),
        (19, 30, True, True),
        (20, 30, False, True),
        (21, 30, False, False),
    ],
)
def test_overlapping_and_touching(start, end, overlaps, touches):
    other = Interval(start, end)
    assert SPAN.overlaps(other) is overlaps
    assert other.overlaps(SPAN) is overlaps
    assert SPAN.touches(other) is touches
    assert other.touches(SPAN) is touches


def test_covering_includes_the_ends():
    assert SPAN.covers(Interval(10, 20))
    assert SPAN.covers(Interval(12, 15))
    assert not SPAN.covers(Interval(9, 15))
    assert not SPAN.covers(Interval(15, 21))


def test_the_common_part():
    assert SPAN.common(Interval(15, 30)) == Interval(15, 20)
    assert SPAN.common(Interval(0, 12)) == Interval(10, 12)
    assert SPAN.common(Interval(20, 30)) is None


def test_shifting():
    assert SPAN.shifted(5) == Interval(15, 25)
    assert SPAN.shifted(-5) == Interval(5, 15)


def test_touching_intervals_are_merged():
    assert merge([Interval(5, 8), Interval(1, 3), Interval(3, 5)]) == [Interval(1, 8)]
    assert merge([Interval(1, 3), Interval(4, 5)]) == [Interval(1, 3), Interval(4, 5)]
    assert merge([]) == []


def test_an_interval_inside_another_is_swallowed():
    assert merge([Interval(1, 10), Interval(2, 3), Interval(4, 12)]) == [Interval(1, 12)]
    assert merge([Interval(1, 10), Interval(2, 3)]) == [Interval(1, 10)]


def test_small_gaps_may_be_closed():
    spans = [Interval(0, 10), Interval(15, 20), Interval(26, 30)]
    assert merge(spans, gap=5) == [Interval(0, 20), Interval(26, 30)]
    assert merge(spans, gap=6) == [Interval(0, 30)]


def test_subtracting_leaves_the_rest():
    assert subtract([SPAN], [Interval(12, 15)]) == [Interval(10, 12), Interval(15, 20)]
    assert subtract([SPAN], [Interval(5, 12), Interval(18, 25)]) == [Interval(12, 18)]
    assert subtract([SPAN], [Interval(10, 20)]) == []
    assert subtract([SPAN], [Interval(0, 10), Interval(20, 30)]) == [SPAN]
    assert subtract([SPAN, Interval(30, 40)], [Interval(15, 35)]) == [
        Interval(10, 15),
        Interval(35, 40),
    ]


def test_gaps_within_a_span():
    assert gaps([Interval(12, 14)], SPAN) == [Interval(10, 12), Interval(14, 20)]
    assert gaps([], SPAN) == [SPAN]


def test_what_two_sets_have_in_common():
    one = [Interval(0, 10), Interval(20, 30)]
    other = [Interval(5, 25), Interval(28, 40)]
    assert intersect(one, other) == [Interval(5, 10), Interval(20, 25), Interval(28, 30)]
    assert intersect(one, []) == []


def test_what_several_cover_counts_once():
    assert total_minutes([Interval(0, 10), Interval(5, 15), Interval(20, 21)]) == 16
    assert total_minutes([]) == 0
