"""Writes formulas with as few parentheses as they need."""

from __future__ import annotations

from formulate.nodes import Binary, Call, Conditional, Literal, Name, Node, Unary, Value
from formulate.parser import COMPARISONS, CONDITIONAL_POWER, NEGATION_POWER, NOT_POWER, POWERS

_ATOM = 100


def to_text(node: Node) -> str:
    """The text of a formula; reading it gives one of the same value."""
    match node:
        case Literal(value):
            return literal_text(value)
        case Name(name):
            return name
        case Unary("not", operand):
            return f"not {_inside(operand, NOT_POWER)}"
        case Unary(_, operand):
            return f"-{_inside(operand, NEGATION_POWER)}"
        case Binary(sign, left, right):
            left_power, right_power = _operand_powers(sign)
            return f"{_inside(left, left_power)} {sign} {_inside(right, right_power)}"
        case Conditional(test, then, otherwise):
            start = _inside(test, CONDITIONAL_POWER + 1)
            return f"{start} ? {to_text(then)} : {to_text(otherwise)}"
        case Call(function, arguments):
            return f"{function}({', '.join(map(to_text, arguments))})"


def literal_text(value: Value) -> str:
    """A value as it is written in a formula."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        quote = "'" if '"' in value and "'" not in value else '"'
        return quote + value.replace(quote, quote * 2) + quote
    return repr(value)


def _operand_powers(sign: str) -> tuple[int, int]:
    """How tightly the operands must bind to stand without parentheses."""
    power = POWERS[sign]
    if sign == "^":
        return power + 1, power
    if sign in COMPARISONS:
        return power + 1, power + 1
    return power, power + 1


def _power_of(node: Node) -> int:
    match node:
        case Binary(sign, _, _):
            return POWERS[sign]
        case Unary("not", _):
            return NOT_POWER
        case Unary(_, _):
            return NEGATION_POWER
        case Conditional():
            return CONDITIONAL_POWER
        case Literal(value) if isinstance(value, int | float) and value < 0:
            return NEGATION_POWER
        case _:
            return _ATOM


def _inside(node: Node, needed: int) -> str:
    text = to_text(node)
    return text if _power_of(node) >= needed else f"({text})"
