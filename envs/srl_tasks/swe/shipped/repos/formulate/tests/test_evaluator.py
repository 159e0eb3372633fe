import pytest

from formulate.errors import EvaluationError, UnknownName
from formulate.evaluator import apply, calculate, call


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("10 - 4 - 3", 3),
        ("-2 ^ 2", -4),
        ("2 ^ 3 ^ 2", 512),
        ("2 ^ -1", 0.5),
        ("7 % 3", 1),
        ("-7 % 3", 2),
        ("1.5 + 1.5", 3.0),
    ],
)
def test_arithmetic(source, value):
    assert calculate(source) == value


def test_a_quotient_is_whole_where_it_can_be():
    assert isinstance(calculate("6 / 3"), int)
    assert calculate("7 / 2") == 3.5
    assert isinstance(calculate("6.0 / 3"), float)


@pytest.mark.parametrize("source", ["1 / 0", "1 % 0", "0 ^ -1", "(-8) ^ 0.5", "2 ^ 1001"])
def test_arithmetic_without_a_value(source):
    with pytest.raises(EvaluationError):
        calculate(source)


def test_large_powers():
    assert calculate("1 ^ 1000") == 1
    with pytest.raises(EvaluationError, match="too large"):
        calculate("10.0 ^ 999")
    assert calculate("(-2) ^ 3.0") == -8.0


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("1 < 2", True),
        ("2 < 2", False),
        ("2 <= 2", True),
        ("3 > 2", True),
        ("2 > 2", False),
        ("2 >= 3", False),
        ("'a' < 'b'", True),
        ("1 == 1.0", True),
        ("1 != 2", True),
        ("1 == '1'", False),
        ("1 == true", False),
        ("true == true", True),
        ("0 != false", True),
    ],
)
def test_comparisons(source, value):
    assert calculate(source) is value


def test_texts_and_numbers_have_no_order():
    with pytest.raises(EvaluationError, match="< needs a number"):
        calculate("1 < 'a'")


def test_logic_stops_as_soon_as_it_knows():
    assert calculate("false and missing") is False
    assert calculate("true or missing") is True
    assert calculate("true and false") is False
    assert calculate("false or true") is True
    assert calculate("not false") is True


@pytest.mark.parametrize(
    "source", ["1 and true", "true and 1", "not 0", "'a' ? 1 : 2", "0 or true"]
)
def test_logic_needs_truth_values(source):
    with pytest.raises(EvaluationError, match="true or false is needed"):
        calculate(source)


def test_only_the_chosen_way_is_evaluated():
    assert calculate("true ? 1 : missing") == 1
    assert calculate("false ? missing : 2") == 2


def test_joining_writes_values_as_text():
    assert calculate("'n = ' & 4 / 2") == "n = 2"
    assert calculate("1.5 & true") == "1.5true"


def test_variables_are_looked_up():
    assert calculate("a.b * 2", {"a.b": 21}) == 42
    with pytest.raises(UnknownName, match="unknown variable 'x'"):
        calculate("x")


def test_negation_needs_a_number():
    assert calculate("-x", {"x": 2}) == -2
    with pytest.raises(EvaluationError):
        calculate("-'a'")


def test_functions_are_called():
    assert calculate("max(1, 2, 3) + len('abc')") == 6
    assert call("sum", []) == 0
    with pytest.raises(UnknownName, match="unknown function 'f'"):
        calculate("f(1)")
    with pytest.raises(EvaluationError, match="at least 1"):
        calculate("max()")


def test_if_error_gives_the_second_value_where_the_first_fails():
    assert calculate("if_error(1 / 0, 7)") == 7
    assert calculate("if_error(4, missing)") == 4
    assert calculate("if_error(missing, 'none')") == "none"
    with pytest.raises(EvaluationError, match="at least 2"):
        calculate("if_error(1)")


def test_operators_between_values():
    assert apply("&", "a", 1) == "a1"
    assert apply("!=", 1, 1) is False
    with pytest.raises(EvaluationError):
        apply("+", "a", 1)
