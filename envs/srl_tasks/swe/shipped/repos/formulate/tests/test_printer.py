import pytest

from formulate.nodes import Binary, Literal, Unary
from formulate.parser import parse
from formulate.printer import literal_text, to_text


@pytest.mark.parametrize(
    "source",
    [
        "a + b * c",
        "(a + b) * c",
        "a - b - c",
        "a - (b - c)",
        "a / (b * c)",
        "a ^ b ^ c",
        "(a ^ b) ^ c",
        "-a ^ b",
        "(-a) ^ b",
        "--a",
        "-(a + b)",
        "not a and b",
        "not (a and b)",
        "not a == b",
        "(not a) == b",
        "(a == b) == c",
        "a == (b == c)",
        "a or b and c",
        "(a or b) and c",
        "a & b & c",
        "a ? b : c ? d : e",
        "(a ? b : c) ? d : e",
        "(a ? b : c) + 1",
        "f(a ? b : c, -1)",
        "f()",
        "true or false",
    ],
)
def test_only_needed_parentheses_are_written(source):
    assert to_text(parse(source)) == source


@pytest.mark.parametrize(
    ("source", "expected"),
    [("((a))*(b)", "a * b"), ("(a*b)+c", "a * b + c"), ("NOT(a)", "not a"), ("'x'", '"x"')],
)
def test_other_parentheses_are_left_out(source, expected):
    assert to_text(parse(source)) == expected


def test_texts_are_quoted():
    assert literal_text("it's") == '"it\'s"'
    assert literal_text('5"') == "'5\"'"
    assert literal_text('"it\'s"') == '"""it\'s"""'
    assert parse(literal_text('"it\'s"')) == Literal('"it\'s"')


def test_numbers_and_truth_values():
    assert literal_text(1.5) == "1.5"
    assert literal_text(10) == "10"
    assert literal_text(True) == "true"
    assert literal_text(False) == "false"


def test_a_negative_literal_is_like_a_negation():
    assert to_text(Binary("^", Literal(-2), Literal(2))) == "(-2) ^ 2"
    assert to_text(Binary("*", Literal(-2), Literal(2))) == "-2 * 2"
    assert to_text(Unary("-", Literal(-2))) == "--2"
