"""The functions that formulas may call."""

from __future__ import annotations

import math
from collections.abc import Callable

from formulate.errors import EvaluationError
from formulate.nodes import Value


def need_number(value: Value, where: str) -> int | float:
    """The value, if it is a number. Raises EvaluationError for texts and truth values."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise EvaluationError(f"{where} needs a number, not {value!r}")
    return value


def need_text(value: Value, where: str) -> str:
    """The value, if it is a text. Raises EvaluationError."""
    if not isinstance(value, str):
        raise EvaluationError(f"{where} needs a text, not {value!r}")
    return value


def as_text(value: Value) -> str:
    """A value as a text, the way ``&`` joins it: 2.0 is ``2``, truth is ``true``."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def average(*values: Value) -> Value:
    """The mean of at least one number."""
    return sum(need_number(value, "avg") for value in values) / len(values)


def clamp(value: Value, low: Value, high: Value) -> Value:
    """The value, or the bound that it lies beyond. Raises EvaluationError for bounds crossed."""
    number = need_number(value, "clamp")
    lower, upper = need_number(low, "clamp"), need_number(high, "clamp")
    if lower > upper:
        raise EvaluationError(f"clamp: {low} is more than {high}")
    return max(lower, min(number, upper))


def round_to(value: Value, digits: Value = 0) -> Value:
    """The value with so many digits after the point, halves away from zero; whole for 0."""
    number, places = need_number(value, "round"), int(need_number(digits, "round"))
    scaled = abs(number) * 10**places
    rounded = math.floor(scaled + 0.5)
    signed = -rounded if number < 0 else rounded
    return signed if places == 0 else signed / 10**places


def square_root(value: Value) -> Value:
    """The root of a number that is not negative. Raises EvaluationError."""
    number = need_number(value, "sqrt")
    if number < 0:
        raise EvaluationError(f"sqrt of {number}")
    return math.sqrt(number)


def _numbers(name: str, function: Callable[..., Value]) -> Callable[..., Value]:
    """A function that takes numbers only."""

    def checked(*values: Value) -> Value:
        return function(*[need_number(value, name) for value in values])

    return checked


#: name → (function, fewest arguments, most arguments or None for any number)
FUNCTIONS: dict[str, tuple[Callable[..., Value], int, int | None]] = {
    "abs": (_numbers("abs", abs), 1, 1),
    "avg": (average, 1, None),
    "ceil": (_numbers("ceil", math.ceil), 1, 1),
    "clamp": (clamp, 3, 3),
    "floor": (_numbers("floor", math.floor), 1, 1),
    "len": (lambda text: len(need_text(text, "len")), 1, 1),
    "lower": (lambda text: need_text(text, "lower").lower(), 1, 1),
    "max": (_numbers("max", lambda *values: max(values)), 1, None),
    "min": (_numbers("min", lambda *values: min(values)), 1, None),
    "round": (round_to, 1, 2),
    "sqrt": (square_root, 1, 1),
    "sum": (_numbers("sum", lambda *values: sum(values)), 0, None),
    "upper": (lambda text: need_text(text, "upper").upper(), 1, 1),
}


def check_count(name: str, given: int, fewest: int, most: int | None) -> None:
    """Raises EvaluationError where a function gets too few or too many arguments."""
    if given < fewest:
        raise EvaluationError(f"{name} needs at least {fewest} arguments, not {given}")
    if most is not None and given > most:
        raise EvaluationError(f"{name} takes at most {most} arguments, not {given}")
