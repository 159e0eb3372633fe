"""Reads formulas by precedence climbing."""

from __future__ import annotations

from formulate.errors import SyntaxFault
from formulate.nodes import Binary, Call, Conditional, Literal, Name, Node, Unary
from formulate.tokens import Token, tokenize

#: How tightly binary operators bind.
POWERS = {
    "or": 2, "and": 3,
    "==": 5, "!=": 5, "<": 5, "<=": 5, ">": 5, ">=": 5,
    "&": 6, "+": 7, "-": 7, "*": 8, "/": 8, "%": 8, "^": 10,
}  # fmt: skip
CONDITIONAL_POWER = 1
NOT_POWER = 4
NEGATION_POWER = 9
MAX_DEPTH = 100
COMPARISONS = frozenset({"==", "!=", "<", "<=", ">", ">="})


def parse(source: str) -> Node:
    """The tree of a formula. Raises SyntaxFault, which says where the text went wrong."""
    parser = _Parser(tokenize(source))
    node = parser.expression(0)
    parser.expect_end()
    return node


def parse_number(text: str) -> int | float:
    """The value of a number's text: whole unless it has a point or an exponent."""
    if any(mark in text for mark in ".eE"):
        return float(text)
    return int(text)


class _Parser:
    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._index = 0
        self._depth = 0

    def expression(self, lowest: int) -> Node:
        """An expression whose operators bind more tightly than `lowest`."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise SyntaxFault("nested too deeply", self._token.position)
        node = self._prefix()
        while True:
            operator = self._token.text if self._token.kind in ("operator", "word") else ""
            if operator == "?" and lowest < CONDITIONAL_POWER:
                node = self._conditional(node)
            elif POWERS.get(operator, 0) > lowest:
                node = self._binary(node, operator)
            else:
                break
        self._depth -= 1
        return node

    def expect_end(self) -> None:
        """Raises SyntaxFault where tokens are left."""
        if self._token.kind != "end":
            raise SyntaxFault(f"unexpected {self._token.text!r}", self._token.position)

    @property
    def _token(self) -> Token:
        return self._tokens[self._index]

    def _take(self) -> Token:
        token = self._token
        self._index += 1
        return token

    def _accept(self, text: str) -> bool:
        if self._token.kind in ("operator", "punctuation") and self._token.text == text:
            self._index += 1
            return True
        return False

    def _expect(self, text: str) -> None:
        if not self._accept(text):
            raise SyntaxFault(f"{text!r} expected", self._token.position)

    def _prefix(self) -> Node:
        token = self._token
        if token.kind == "end":
            raise SyntaxFault("the formula ends too early", token.position)
        self._take()
        match token.kind, token.text:
            case "number", text:
                return Literal(parse_number(text))
            case "text", text:
                return Literal(text)
            case "word", ("true" | "false") as text:
                return Literal(text == "true")
            case "word", "not":
                return Unary("not", self.expression(NOT_POWER - 1))
            case "operator", "-":
                return Unary("-", self.expression(NEGATION_POWER - 1))
            case "punctuation", "(":
                node = self.expression(0)
                self._expect(")")
                return node
            case "name", text:
                return self._call(text) if self._accept("(") else Name(text)
        raise SyntaxFault(f"unexpected {token.text!r}", token.position)

    def _binary(self, left: Node, operator: str) -> Node:
        self._take()
        power = POWERS[operator]
        right = self.expression(power - 1 if operator == "^" else power)
        if operator in COMPARISONS and self._token.text in COMPARISONS:
            raise SyntaxFault("comparisons cannot be chained", self._token.position)
        return Binary(operator, left, right)

    def _conditional(self, test: Node) -> Node:
        self._expect("?")
        then = self.expression(0)
        self._expect(":")
        return Conditional(test, then, self.expression(0))

    def _call(self, function: str) -> Node:
        arguments: list[Node] = []
        if self._accept(")"):
            return Call(function, ())
        while True:
            arguments.append(self.expression(0))
            if self._accept(")"):
                return Call(function, tuple(arguments))
            self._expect(",")
