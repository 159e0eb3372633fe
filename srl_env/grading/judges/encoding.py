"""Built-in values as JSON and back, exactly: types, signs of zero, order of dictionaries.

Only exact built-in types pass. An instance of a subclass, which could claim to be equal to
anything, is refused where it is encoded, and the encoding has no form for it.
"""

from __future__ import annotations

import math
from typing import Any

MAX_DEPTH = 50
MAX_ITEMS = 200_000


class NotExactError(ValueError):
    """A value that is not made of exact built-in types, or too large to send."""


def to_json(value: object) -> Any:
    """A value as JSON data. Raises NotExactError."""
    return _encode(value, 0, [MAX_ITEMS])


def _encode(value: Any, depth: int, left: list[int]) -> Any:
    left[0] -= 1
    if depth > MAX_DEPTH or left[0] < 0:
        raise NotExactError("a value too deep or too large")
    kind = type(value)
    if value is None or kind is bool or kind is str:
        return value
    if kind is int:
        return {"int": hex(value)}
    if kind is float:
        return {"float": "nan" if math.isnan(value) else value.hex()}
    if kind is complex:
        return {"complex": [_encode(part, depth, left) for part in (value.real, value.imag)]}
    if kind is bytes:
        return {"bytes": value.hex()}
    if kind in (list, tuple, set, frozenset):
        return {kind.__name__: [_encode(item, depth + 1, left) for item in value]}
    if kind is dict:
        return {"dict": [[_encode(p, depth + 1, left) for p in pair] for pair in value.items()]}
    raise NotExactError(f"a {kind.__module__}.{kind.__qualname__}, which is no exact built-in type")


def from_json(data: Any) -> Any:
    """The value back. Raises NotExactError for data that to_json does not write."""
    try:
        return _decode(data, 0)
    except (
        TypeError,
        ValueError,
        AttributeError,
        OverflowError,
        RecursionError,
        KeyError,
    ) as error:
        raise NotExactError(f"not the encoding of a value: {error}") from None


def _decode(data: Any, depth: int) -> Any:
    if depth > MAX_DEPTH + 1:
        raise NotExactError("a value too deep")
    if data is None or isinstance(data, bool | str):
        return data
    ((kind, content),) = data.items()
    if kind == "dict":
        content = [[_decode(part, depth + 1) for part in item] for item in content]
    elif isinstance(content, list):
        content = [_decode(item, depth + 1) for item in content]
    return _MAKERS[kind](content)


_MAKERS: dict[str, Any] = {
    "int": lambda text: int(text, 16),
    "float": float.fromhex,
    "bytes": bytes.fromhex,
    "complex": lambda parts: complex(*parts),
    "list": list,
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "dict": dict,
}
