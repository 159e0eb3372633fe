"""Exact comparison of built-in values, in the controller."""

from __future__ import annotations

import json
from typing import Any

from srl_env.errors import BadOption
from srl_env.grading.judges.encoding import NotExactError, from_json, to_json

# None, bool, int, float, complex, str, bytes; and list, tuple, set, frozenset, dict of them.
Value = Any

__all__ = ["NotExactError", "Value", "canonical", "encode_value", "from_json"]


def encode_value(value: Value) -> Any:
    """A value as JSON data. Raises BadOption for anything but exact built-in types."""
    try:
        return to_json(value)
    except NotExactError as error:
        raise BadOption(f"OracleCase: expected {value!r} holds {error}") from None


def canonical(data: Any) -> str:
    """A text that two encodings share only if their values are equal in type and content.

    nan equals nan, and 0.0 is not -0.0. The order of a dictionary does not count, that of a list
    does. No value is made from the data, so code under test cannot make this slow.
    """
    if isinstance(data, list):
        return f"[{','.join(map(canonical, data))}]"
    if not isinstance(data, dict):
        return json.dumps(data)
    parts = []
    for kind, content in data.items():
        items = list(map(canonical, content)) if isinstance(content, list) else [canonical(content)]
        ordered = sorted(items) if kind in ("set", "frozenset", "dict") else items
        parts.append(f"{json.dumps(kind)}:{','.join(ordered)}")
    return f"{{{';'.join(parts)}}}"
