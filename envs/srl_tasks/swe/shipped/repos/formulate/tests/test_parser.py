import pytest

from formulate.errors import SyntaxFault
from formulate.nodes import Binary, Call, Conditional, Literal, Name, Unary
from formulate.parser import parse, parse_number

A, B, C = Name("a"), Name("b"), Name("c")


def test_literals():
    assert parse("7") == Literal(7)
    assert parse("'x'") == Literal("x")
    assert parse("true") == Literal(True)
    assert parse("FALSE") == Literal(False)


def test_a_number_with_a_point_or_an_exponent_is_no_whole_one():
    assert parse_number("12") == 12
    assert isinstance(parse_number("12"), int)
    assert isinstance(parse_number("12."), float)
    assert isinstance(parse_number("1e2"), float)
    assert isinstance(parse_number("1E2"), float)


def test_products_bind_tighter_than_sums():
    assert parse("a + b * c") == Binary("+", A, Binary("*", B, C))
    assert parse("a * b + c") == Binary("+", Binary("*", A, B), C)


def test_equal_operators_group_to_the_left():
    assert parse("a - b - c") == Binary("-", Binary("-", A, B), C)
    assert parse("a / b % c") == Binary("%", Binary("/", A, B), C)


def test_powers_group_to_the_right():
    assert parse("a ^ b ^ c") == Binary("^", A, Binary("^", B, C))


def test_parentheses_come_first():
    assert parse("(a + b) * c") == Binary("*", Binary("+", A, B), C)
    assert parse("((a))") == A


def test_a_power_binds_tighter_than_a_negation():
    assert parse("-a ^ b") == Unary("-", Binary("^", A, B))
    assert parse("a ^ -b") == Binary("^", A, Unary("-", B))


def test_a_negation_binds_tighter_than_a_product():
    assert parse("-a * b") == Binary("*", Unary("-", A), B)
    assert parse("--a") == Unary("-", Unary("-", A))


def test_logic_binds_loosely():
    assert parse("a or b and c") == Binary("or", A, Binary("and", B, C))
    assert parse("not a and b") == Binary("and", Unary("not", A), B)
    assert parse("not a == b") == Unary("not", Binary("==", A, B))


def test_joining_binds_looser_than_a_sum():
    assert parse("a & b + c") == Binary("&", A, Binary("+", B, C))
    assert parse("a & b == c") == Binary("==", Binary("&", A, B), C)


def test_comparisons_are_not_chained():
    with pytest.raises(SyntaxFault, match="chained at position 6"):
        parse("a < b < c")
    assert parse("(a < b) == c") == Binary("==", Binary("<", A, B), C)


def test_conditionals_group_to_the_right():
    nested = Conditional(B, Literal(2), Literal(3))
    assert parse("a ? 1 : b ? 2 : 3") == Conditional(A, Literal(1), nested)
    assert parse("a or b ? 1 : 2") == Conditional(Binary("or", A, B), Literal(1), Literal(2))


def test_a_conditional_needs_both_ways():
    with pytest.raises(SyntaxFault, match="':' expected at position 5"):
        parse("a ? b")


def test_calls_take_any_number_of_arguments():
    assert parse("f()") == Call("f", ())
    assert parse("f(a)") == Call("f", (A,))
    assert parse("f(a, b + c)") == Call("f", (A, Binary("+", B, C)))


@pytest.mark.parametrize("text", ["f(a", "f(a b)", "f(a,)", "f(,a)"])
def test_a_call_must_be_well_formed(text):
    with pytest.raises(SyntaxFault):
        parse(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "too early at position 0"),
        ("a +", "too early at position 3"),
        ("* a", r"unexpected '\*' at position 0"),
        ("a b", "unexpected 'b' at position 2"),
        ("(a", r"'\)' expected at position 2"),
        ("a)", r"unexpected '\)' at position 1"),
        ("and a", "unexpected 'and' at position 0"),
    ],
)
def test_a_fault_says_what_and_where(text, message):
    with pytest.raises(SyntaxFault, match=message):
        parse(text)


def test_depth_is_limited():
    assert parse("(" * 99 + "a" + ")" * 99) == A
    with pytest.raises(SyntaxFault, match="too deeply"):
        parse("(" * 100 + "a" + ")" * 100)


def test_a_long_formula_is_not_a_deep_one():
    assert parse("+".join(["a"] * 500)).left.left.right == A
    assert parse("+".join(["(a)"] * 500)).right == A
