"""Values of an expression at fixed points, by which two expressions are compared.

``evaluated`` reads plain or LaTeX text by recursive descent, never as code. Its work is linear in
the text, whatever it holds: numbers are taken modulo a prime, and depth and length are limited.
"""

from __future__ import annotations

import cmath
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Final

MAX_CHARACTERS = 1_000
MAX_DEPTH = 30
PRIME: Final = 2**61 - 1
POINTS: Final = 2

_TOKEN = re.compile(
    r"(?P<number>[0-9]+(?:,[0-9]{3})*(?![0-9])(?:\.[0-9]*)?|\.[0-9]+)|\\(?P<command>[A-Za-z]+)"
    r"|(?P<name>[A-Za-z](?:_(?:[A-Za-z0-9]|\{[A-Za-z0-9]+\}))?)|(?P<sign>\*\*|\\%|[-+*/^(){}×÷·−%\[\]])"
)
_SKIPPED = re.compile(r"\s+|\\(?:left|right|displaystyle|text|mathrm)(?![A-Za-z])|\\[,;:! ]|\$")
_TIMES: Final = {"*", "×", "·", "cdot", "times"}
_OVER: Final = {"/", "÷", "div"}
_FUNCTIONS: Final[dict[str, Callable[[complex], complex]]] = {
    "sqrt": cmath.sqrt, "sin": cmath.sin, "cos": cmath.cos, "tan": cmath.tan, "ln": cmath.log,
    "log": cmath.log10, "exp": cmath.exp, "arcsin": cmath.asin, "arccos": cmath.acos,
    "arctan": cmath.atan,
}  # fmt: skip
_CONSTANTS: Final = {"pi": math.pi}
_FRACTIONS: Final = {"frac", "dfrac", "tfrac"}
_GREEK: Final = {
    "alpha", "beta", "gamma", "delta", "epsilon", "theta", "lambda", "mu", "nu", "rho", "sigma",
    "tau", "phi", "omega",
}  # fmt: skip
_TOLERANCE: Final = 1e-9


class Unreadable(Exception):  # never leaves this module
    """The text is no expression that can be evaluated."""


@dataclass(frozen=True, slots=True)
class Values:
    """An expression at ``POINTS`` points: exact modulo ``PRIME``, and in floating point.

    rational: whether the exact values decide, as it has only + - * / and whole powers. constant:
    whether it has no variables. Floating-point values are NaN where they are not defined.
    """

    exact: tuple[int, ...]
    floats: tuple[complex, ...]
    rational: bool = True
    constant: bool = True

    def same(self, other: Values) -> bool:
        """Whether both have the same values."""
        if self.rational and other.rational:
            return self.exact == other.exact
        return all(map(_close, self.floats, other.floats))

    def relates_as(self, right: Values, left2: Values, right2: Values, kind: str) -> bool:
        """Whether "self kind right" says the same as "left2 kind right2"."""
        swaps = kind in ("=", "≠")
        if self.same(left2) and right.same(right2):
            return True
        if swaps and self.same(right2) and right.same(left2):
            return True
        one, other = _added(self, _negative(right)), _added(left2, _negative(right2))
        if one.constant or other.constant:
            return False
        if not swaps and not (one.floats[0] * other.floats[0].conjugate()).real > 0:
            return False  # a negative factor turns an inequality round
        if one.rational and other.rational:
            (a, b), (c, d) = one.exact, other.exact
            return any(one.exact) and any(other.exact) and (a * d - b * c) % PRIME == 0
        (x, y), (z, w) = one.floats, other.floats
        return any(one.floats) and any(other.floats) and _close(x * w, y * z)


@lru_cache(maxsize=4096)
def evaluated(text: str) -> Values | None:
    """The values of an expression; None if it cannot be read."""
    if len(text) > MAX_CHARACTERS:
        return None
    try:
        reader = _Reader(_tokens(text))
        found = reader.sum(0)
    except Unreadable:
        return None
    return found if reader.done else None


def _tokens(text: str) -> list[tuple[str, str]]:
    """(kind, text) of each token."""
    found, place = list[tuple[str, str]](), 0
    while place < len(text):
        if skipped := _SKIPPED.match(text, place):
            place = skipped.end()
            continue
        token = _TOKEN.match(text, place)
        if token is None:
            raise Unreadable
        found.append((token.lastgroup or "", token[token.lastgroup or 0]))
        place = token.end()
    return found


class _Reader:
    """Reads tokens from left to right, and evaluates what it reads."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self.tokens, self.place = tokens, 0

    @property
    def done(self) -> bool:
        return self.place == len(self.tokens)

    def next(self) -> tuple[str, str]:
        """The next token; ("", "") at the end."""
        return ("", "") if self.done else self.tokens[self.place]

    def take(self, *signs: str) -> str:
        """The next token's text if it is one of these, which is then read; else ""."""
        kind, text = self.next()
        if kind in ("sign", "command") and text in signs:
            self.place += 1
            return text
        return ""

    def sum(self, depth: int) -> Values:
        """Terms with + and -."""
        if depth > MAX_DEPTH:
            raise Unreadable
        found = self.product(depth)
        while sign := self.take("+", "-", "−"):
            term = self.product(depth)
            found = _added(found, term if sign == "+" else _negative(term))
        return found

    def product(self, depth: int) -> Values:
        """Factors with signs of multiplication and division, or side by side."""
        found = self.signed(depth)
        while True:
            if self.take(*_TIMES):
                found = _multiplied(found, self.signed(depth))
            elif self.take(*_OVER):
                found = _divided(found, self.signed(depth))
            elif self.begins_factor():
                found = _multiplied(found, self.power(depth))
            else:
                return found

    def begins_factor(self) -> bool:
        """Whether a factor follows without a sign. A number after a number is none."""
        kind, text = self.next()
        if kind == "number":
            return self.place > 0 and self.tokens[self.place - 1][0] != "number"
        named = text in _FUNCTIONS or text in _CONSTANTS or text in _FRACTIONS
        return kind == "name" or text in ("(", "{") or (kind == "command" and named)

    def signed(self, depth: int) -> Values:
        """A factor after any number of signs."""
        negative = False
        while sign := self.take("+", "-", "−"):
            negative ^= sign != "+"
        found = self.power(depth)
        return _negative(found) if negative else found

    def power(self, depth: int) -> Values:
        """An atom, perhaps with % and an exponent."""
        base = self.atom(depth)
        if self.take("%", "\\%"):
            base = _divided(base, _number("100"))
        if self.take("^", "**"):
            if depth > MAX_DEPTH:
                raise Unreadable
            begun = self.place
            exponent = self.braced(depth + 1) if self.next()[1] == "{" else self.exponent(depth + 1)
            return _powered(base, exponent, self.tokens[begun : self.place])
        return base

    def exponent(self, depth: int) -> Values:
        """A signed factor; 2^3^2 is 2^(3^2)."""
        negative = bool(self.take("-", "−"))
        found = self.power(depth)
        return _negative(found) if negative else found

    def braced(self, depth: int) -> Values:
        """What stands in braces."""
        if not self.take("{"):
            raise Unreadable
        found = self.sum(depth + 1)
        if not self.take("}"):
            raise Unreadable
        return found

    def atom(self, depth: int) -> Values:
        """A number, a variable, a bracket, or a function."""
        kind, text = self.next()
        if kind == "number":
            self.place += 1
            return _number(text)
        if kind == "name":
            self.place += 1
            return _variable(text.replace("{", "").replace("}", ""))
        if text in ("(", "{"):
            self.place += 1
            found = self.sum(depth + 1)
            if not self.take(")" if text == "(" else "}"):
                raise Unreadable
            return found
        if kind == "command":
            return self.command(text, depth)
        raise Unreadable

    def command(self, name: str, depth: int) -> Values:
        """A LaTeX command."""
        self.place += 1
        if name in _FRACTIONS:
            return _divided(self.argument(depth), self.argument(depth))
        if name == "boxed":
            return self.braced(depth)
        if name in _CONSTANTS:
            value = complex(_CONSTANTS[name])
            return Values(_hashed(name), (value,) * POINTS, rational=False)
        if name in _FUNCTIONS:
            return self.root(depth) if name == "sqrt" else self.function(name, depth)
        if name in _GREEK:
            return _variable(name)
        raise Unreadable

    def root(self, depth: int) -> Values:
        """What follows \\sqrt: an argument, perhaps after a degree in square brackets."""
        if not self.take("["):
            return _applied("sqrt", self.argument(depth))
        degree = self.sum(depth + 1)
        if not self.take("]"):
            raise Unreadable
        return _powered(self.argument(depth), _divided(_number("1"), degree), [])

    def function(self, name: str, depth: int) -> Values:
        """A function of what follows it: \\sin x^2, \\sin(x)^2 and \\sin^2 x."""
        exponent, begun, end = None, self.place + 1, 0
        if self.take("^", "**"):
            exponent = self.argument(depth)
            end = self.place
        bracket = self.next()[1] in ("(", "{")
        found = _applied(name, self.atom(depth + 1) if bracket else self.power(depth + 1))
        return found if exponent is None else _powered(found, exponent, self.tokens[begun:end])

    def argument(self, depth: int) -> Values:
        """What stands in braces, or one digit or letter: \\frac12."""
        kind, text = self.next()
        if depth > MAX_DEPTH:
            raise Unreadable
        if text == "{":
            return self.braced(depth)
        if kind == "number" and len(text) > 1 and text.isdecimal():
            self.tokens[self.place] = (kind, text[1:])
            return _number(text[0])
        return self.atom(depth + 1)


# -- arithmetic at all points ---------------------------------------------------------------


@lru_cache(maxsize=1024)
def _variable(name: str) -> Values:
    exact = _hashed(name)
    return Values(exact, tuple(complex(0.5 + value / PRIME) for value in exact), constant=False)


def _number(text: str) -> Values:
    whole, _, fraction = text.replace(",", "").partition(".")
    exact = int(whole + fraction) * pow(10, -len(fraction), PRIME) % PRIME
    return Values((exact,) * POINTS, (complex(float(f"{whole or 0}.{fraction or 0}")),) * POINTS)


def _joined(
    one: Values, other: Values, exact: Callable[[int, int], int], floats: Callable[..., complex]
) -> Values:
    return Values(
        tuple([exact(a, b) % PRIME for a, b in zip(one.exact, other.exact, strict=True)]),
        tuple([_tried(floats, a, b) for a, b in zip(one.floats, other.floats, strict=True)]),
        one.rational and other.rational,
        one.constant and other.constant,
    )


def _tried(function: Callable[..., complex], *values: complex) -> complex:
    try:
        return complex(function(*values))
    except (ArithmeticError, ValueError):
        return complex(math.nan)


def _added(one: Values, other: Values) -> Values:
    return _joined(one, other, lambda a, b: a + b, lambda a, b: a + b)


def _multiplied(one: Values, other: Values) -> Values:
    return _joined(one, other, lambda a, b: a * b, lambda a, b: a * b)


def _negative(one: Values) -> Values:
    return _multiplied(Values((PRIME - 1,) * POINTS, (-1 + 0j,) * POINTS), one)


def _divided(one: Values, other: Values) -> Values:
    if not all(other.exact):
        raise Unreadable  # division by zero
    return _joined(one, other, lambda a, b: a * pow(b, -1, PRIME), lambda a, b: a / b)


def _powered(base: Values, exponent: Values, written: list[tuple[str, str]]) -> Values:
    """The power: exact for a whole number as exponent, else as a function of both."""
    texts = [text for _, text in written if text not in "{}()"]
    sign = -1 if texts and texts[0] in ("-", "−") else 1
    digits = texts[1:] if sign < 0 else texts
    if len(digits) == 1 and digits[0].isdecimal() and digits[0].isascii() and len(digits[0]) < 19:
        whole = sign * int(digits[0])
        if whole < 0 and not all(base.exact):
            raise Unreadable
        return _joined(base, exponent, lambda a, _: pow(a, whole, PRIME), lambda a, b: a**b.real)
    exact = tuple(_digest(f"^{a}^{b}") for a, b in zip(base.exact, exponent.exact, strict=True))
    floats = tuple(
        [_tried(lambda a, b: a**b, a, b) for a, b in zip(base.floats, exponent.floats, strict=True)]
    )
    return Values(exact, floats, False, base.constant and exponent.constant)


def _applied(name: str, inner: Values) -> Values:
    exact = tuple(_digest(f"{name}({value})") for value in inner.exact)
    floats = tuple([_tried(_FUNCTIONS[name], value) for value in inner.floats])
    return Values(exact, floats, False, inner.constant)


def _hashed(name: str) -> tuple[int, ...]:
    return tuple(_digest(f"{name} {point}") for point in range(POINTS))


def _digest(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest()) % PRIME


def _close(one: complex, other: complex) -> bool:
    if not (cmath.isfinite(one) and cmath.isfinite(other)):
        return False
    return cmath.isclose(one, other, rel_tol=_TOLERANCE)
