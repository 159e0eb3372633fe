"""Exact comparison of built-in values, in the controller."""

from __future__ import annotations

from typing import Any

from srl_env.errors import BadOption
from srl_env.grading.judges.encoding import NotExactError, from_json, to_json

# None, bool, int, float, complex, str, bytes; and list, tuple, set, frozenset, dict of them.
Value = Any

__all__ = ["NotExactError", "Value", "encode_value", "from_json", "same_value"]


def encode_value(value: Value) -> Any:
    """A value as JSON data. Raises BadOption for anything but exact built-in types."""
    try:
        return to_json(value)
    except NotExactError as error:
        raise BadOption(f"OracleCase: expected {value!r} holds {error}") from None


def same_value(one: Value, other: Value) -> bool:
    """Whether two values are equal in type and content; nan equals nan, 0.0 is not -0.0.

    The order of a dictionary does not count, that of a list does.
    """
    if type(one) is not type(other):
        return False
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same_value, one, other))
    if isinstance(one, dict):
        return _canonical(one.items()) == _canonical(other.items())
    if isinstance(one, set | frozenset):
        return _canonical(one) == _canonical(other)
    return bool(to_json(one) == to_json(other))


def _canonical(items: Any) -> list[str]:
    return sorted(_text(item) for item in items)


def _text(value: Value) -> str:
    """A text equal for the same values only."""
    kind = type(value).__name__
    if isinstance(value, list | tuple):
        return f"{kind}({','.join(map(_text, value))})"
    if isinstance(value, dict):
        return f"{kind}({','.join(_canonical(value.items()))})"
    if isinstance(value, set | frozenset):
        return f"{kind}({','.join(_canonical(value))})"
    return f"{kind}:{to_json(value)!r}"
