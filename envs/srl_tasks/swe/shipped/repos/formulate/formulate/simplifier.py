"""Makes formulas shorter without changing their value."""

from __future__ import annotations

from formulate.errors import EvaluationError
from formulate.evaluator import evaluate
from formulate.nodes import Binary, Call, Conditional, Literal, Node, Unary, children


def simplify(node: Node) -> Node:
    """The formula with everything constant worked out and neutral parts left out.

    Variables beside arithmetic are taken to be numbers. A part that would raise an error is kept,
    so that it still does; so is ``x * 0``, as `x` may be unknown.
    """
    match node:
        case Unary(sign, operand):
            node = _unary(Unary(sign, simplify(operand)))
        case Binary(sign, left, right):
            node = _binary(Binary(sign, simplify(left), simplify(right)))
        case Conditional(test, then, otherwise):
            node = _conditional(simplify(test), simplify(then), simplify(otherwise))
        case Call(function, arguments):
            node = Call(function, tuple(simplify(part) for part in arguments))
    return _fold(node)


def _fold(node: Node) -> Node:
    """A literal in place of a node whose parts all are."""
    parts = children(node)
    if not parts or not all(isinstance(part, Literal) for part in parts):
        return node
    try:
        return Literal(evaluate(node, {}))
    except EvaluationError:
        return node


def _unary(node: Unary) -> Node:
    """Without two negations on end; two times ``not`` is kept, as it checks its operand."""
    inner = node.operand
    if node.operator == "-" and isinstance(inner, Unary) and inner.operator == "-":
        return inner.operand
    return node


def _binary(node: Binary) -> Node:
    match node:
        case Binary("+", left, right) if _is_number(right, 0):
            return left
        case Binary("+", left, right) if _is_number(left, 0):
            return right
        case Binary("-", left, right) if _is_number(right, 0):
            return left
        case Binary("-", left, right) if _is_number(left, 0):
            return _unary(Unary("-", right))
        case Binary("*" | "/" | "^", left, right) if _is_number(right, 1):
            return left
        case Binary("*", left, right) if _is_number(left, 1):
            return right
        case Binary("and", Literal(False), _):
            return Literal(False)
        case Binary("or", Literal(True), _):
            return Literal(True)
        case Binary("+" | "*" as sign, Binary(inner, first, Literal(a)), Literal(b)):
            if inner == sign and _whole(a) and _whole(b):
                return Binary(sign, first, _fold(Binary(sign, Literal(a), Literal(b))))
    return node


def _conditional(test: Node, then: Node, otherwise: Node) -> Node:
    if isinstance(test, Literal) and isinstance(test.value, bool):
        return then if test.value else otherwise
    return Conditional(test, then, otherwise)


def _is_number(node: Node, number: int) -> bool:
    """Whether a node is the literal whole number."""
    return isinstance(node, Literal) and _whole(node.value) and node.value == number


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
