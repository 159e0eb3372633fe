"""Evaluates formulas."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping

from formulate.errors import EvaluationError, UnknownName
from formulate.functions import FUNCTIONS, as_text, check_count, need_number
from formulate.nodes import Binary, Call, Conditional, Literal, Name, Node, Unary, Value
from formulate.parser import parse

MAX_EXPONENT = 1000
_ORDER: dict[str, Callable[[Value, Value], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def calculate(source: str, variables: Mapping[str, Value] | None = None) -> Value:
    """The value of a formula's text. Raises FormulaError."""
    return evaluate(parse(source), variables or {})


def evaluate(node: Node, variables: Mapping[str, Value]) -> Value:
    """The value of a formula. Raises EvaluationError, UnknownName."""
    match node:
        case Literal(value):
            return value
        case Name(name):
            if name not in variables:
                raise UnknownName("variable", name)
            return variables[name]
        case Unary("not", operand):
            return not _truth(evaluate(operand, variables))
        case Unary(_, operand):
            return -need_number(evaluate(operand, variables), "-")
        case Conditional(test, then, otherwise):
            chosen = then if _truth(evaluate(test, variables)) else otherwise
            return evaluate(chosen, variables)
        case Binary("and", left, right):
            return _truth(evaluate(left, variables)) and _truth(evaluate(right, variables))
        case Binary("or", left, right):
            return _truth(evaluate(left, variables)) or _truth(evaluate(right, variables))
        case Binary(sign, left, right):
            return apply(sign, evaluate(left, variables), evaluate(right, variables))
        case Call("if_error", arguments):
            return _if_error(arguments, variables)
        case Call(function, arguments):
            return call(function, [evaluate(part, variables) for part in arguments])


def apply(sign: str, left: Value, right: Value) -> Value:
    """The value of an operator between two values. Raises EvaluationError."""
    if sign == "&":
        return as_text(left) + as_text(right)
    if sign in ("==", "!="):
        return _same(left, right) == (sign == "==")
    if sign in _ORDER:
        return _compare(sign, left, right)
    return _arithmetic(sign, need_number(left, sign), need_number(right, sign))


def call(name: str, arguments: list[Value]) -> Value:
    """The value of a function. Raises UnknownName, EvaluationError."""
    if name not in FUNCTIONS:
        raise UnknownName("function", name)
    function, fewest, most = FUNCTIONS[name]
    check_count(name, len(arguments), fewest, most)
    return function(*arguments)


def _truth(value: Value) -> bool:
    if not isinstance(value, bool):
        raise EvaluationError(f"true or false is needed, not {value!r}")
    return value


def _same(left: Value, right: Value) -> bool:
    """Equality that keeps truth values apart from numbers."""
    if isinstance(left, bool) != isinstance(right, bool):
        return False
    return left == right


def _compare(sign: str, left: Value, right: Value) -> bool:
    if isinstance(left, str) and isinstance(right, str):
        return _ORDER[sign](left, right)
    return _ORDER[sign](need_number(left, sign), need_number(right, sign))


def _arithmetic(sign: str, left: int | float, right: int | float) -> int | float:
    match sign:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case "/":
            return _divide(left, right)
        case "%":
            if right == 0:
                raise EvaluationError("remainder of a division by zero")
            return left % right
        case _:
            return _power(left, right)


def _divide(left: int | float, right: int | float) -> int | float:
    """A quotient, whole where the division of whole numbers leaves no remainder."""
    if right == 0:
        raise EvaluationError("division by zero")
    if isinstance(left, int) and isinstance(right, int) and left % right == 0:
        return left // right
    return left / right


def _power(base: int | float, exponent: int | float) -> int | float:
    if abs(exponent) > MAX_EXPONENT:
        raise EvaluationError(f"the exponent {exponent} is too large")
    if base == 0 and exponent < 0:
        raise EvaluationError("zero to a negative power")
    if base < 0 and exponent != int(exponent):
        raise EvaluationError("a broken power of a negative number")
    try:
        return base**exponent
    except OverflowError:
        raise EvaluationError("the power is too large") from None


def _if_error(arguments: tuple[Node, ...], variables: Mapping[str, Value]) -> Value:
    """The first argument's value, or the second's where the first has none."""
    check_count("if_error", len(arguments), 2, 2)
    try:
        return evaluate(arguments[0], variables)
    except EvaluationError:
        return evaluate(arguments[1], variables)
