import pytest

from formulate.parser import parse
from formulate.printer import to_text
from formulate.simplifier import simplify


def simple(source):
    return to_text(simplify(parse(source)))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("1 + 2 * 3", "7"),
        ("2 > 1", "true"),
        ("'a' & 'b'", '"ab"'),
        ("max(1, 2 + 3)", "5"),
        ("x + 2 * 3", "x + 6"),
        ("f(1 + 1, x)", "f(2, x)"),
    ],
)
def test_what_is_constant_is_worked_out(source, expected):
    assert simple(source) == expected


@pytest.mark.parametrize(
    "source", ["x + 0", "0 + x", "x - 0", "x * 1", "1 * x", "x / 1", "x ^ 1", "--x"]
)
def test_neutral_parts_are_left_out(source):
    assert simple(source) == "x"


@pytest.mark.parametrize(
    "source", ["x * 0", "0 / x", "1 / x", "1 - x", "x - 1", "1 ^ x", "x + 0.0", "not not x"]
)
def test_other_parts_are_kept(source):
    assert simple(source) == source


def test_zero_minus_something_is_its_negation():
    assert simple("0 - x") == "-x"
    assert simple("0 - -x") == "x"


def test_logic_that_is_decided_is_left_out():
    assert simple("false and x") == "false"
    assert simple("true or x") == "true"
    assert simple("true and x") == "true and x"
    assert simple("false or x") == "false or x"


def test_a_decided_conditional_is_its_way():
    assert simple("1 < 2 ? x : y") == "x"
    assert simple("1 > 2 ? x : y") == "y"
    assert simple("a ? 1 + 1 : y") == "a ? 2 : y"


def test_constants_are_collected_over_sums_and_products():
    assert simple("x + 2 + 3") == "x + 5"
    assert simple("x * 2 * 3") == "x * 6"
    assert simple("x * 2 + 3") == "x * 2 + 3"
    assert simple("x + 0.1 + 0.2") == "x + 0.1 + 0.2"


def test_errors_are_kept():
    assert simple("1 / 0") == "1 / 0"
    assert simple("sqrt(-1)") == "sqrt(-1)"
    assert simple("1 ? x : y") == "1 ? x : y"
