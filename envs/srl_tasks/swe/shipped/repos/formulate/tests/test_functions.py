import pytest

from formulate.errors import EvaluationError
from formulate.functions import (
    FUNCTIONS,
    as_text,
    average,
    check_count,
    clamp,
    need_number,
    need_text,
    round_to,
    square_root,
)


def test_a_number_is_a_number():
    assert need_number(3, "f") == 3
    assert need_number(2.5, "f") == 2.5


@pytest.mark.parametrize("value", ["3", True, False])
def test_texts_and_truth_values_are_no_numbers(value):
    with pytest.raises(EvaluationError, match="f needs a number"):
        need_number(value, "f")


def test_only_texts_are_texts():
    assert need_text("a", "len") == "a"
    with pytest.raises(EvaluationError, match="len needs a text, not 3"):
        need_text(3, "len")


@pytest.mark.parametrize(
    ("value", "text"),
    [(2, "2"), (2.0, "2"), (2.5, "2.5"), (True, "true"), (False, "false"), ("x", "x")],
)
def test_values_as_text(value, text):
    assert as_text(value) == text


def test_an_average():
    assert average(1, 2, 6) == 3
    with pytest.raises(EvaluationError):
        average(1, "2")


def test_a_clamped_value_stays_within_its_bounds():
    assert [clamp(value, 0, 10) for value in (-1, 0, 5, 10, 11)] == [0, 0, 5, 10, 10]
    assert clamp(3, 4, 4) == 4


def test_bounds_must_not_be_crossed():
    with pytest.raises(EvaluationError, match="5 is more than 4"):
        clamp(3, 5, 4)


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [
        (2.5, 0, 3),
        (-2.5, 0, -3),
        (2.4, 0, 2),
        (1.25, 1, 1.3),
        (-1.25, 1, -1.3),
        (1234, -2, 1200.0),
        (0, 0, 0),
    ],
)
def test_halves_are_rounded_away_from_zero(value, digits, expected):
    assert round_to(value, digits) == expected


def test_rounding_to_no_digits_gives_a_whole_number():
    assert isinstance(round_to(2.5), int)
    assert isinstance(round_to(2.5, 1), float)


def test_a_root():
    assert square_root(9) == 3.0
    assert square_root(0) == 0.0
    with pytest.raises(EvaluationError, match="sqrt of -1"):
        square_root(-1)


def test_functions_of_the_table():
    assert FUNCTIONS["max"][0](3, 9, 2) == 9
    assert FUNCTIONS["min"][0](3, 9, 2) == 2
    assert FUNCTIONS["sum"][0]() == 0
    assert FUNCTIONS["ceil"][0](1.2) == 2
    assert FUNCTIONS["floor"][0](-1.2) == -2
    assert FUNCTIONS["abs"][0](-4) == 4
    assert FUNCTIONS["len"][0]("four") == 4
    assert FUNCTIONS["upper"][0]("aB") == "AB"
    assert FUNCTIONS["lower"][0]("aB") == "ab"


def test_functions_of_numbers_refuse_texts():
    with pytest.raises(EvaluationError, match="max needs a number"):
        FUNCTIONS["max"][0](1, "2")


def test_arguments_are_counted():
    check_count("f", 2, 1, 2)
    check_count("f", 1, 1, 2)
    check_count("f", 50, 0, None)
    with pytest.raises(EvaluationError, match="at least 1 arguments, not 0"):
        check_count("f", 0, 1, 2)
    with pytest.raises(EvaluationError, match="at most 2 arguments, not 3"):
        check_count("f", 3, 1, 2)
