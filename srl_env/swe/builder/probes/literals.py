"""Values as Python source: built-in types, and a few of the standard library."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

MAX_TEXT = 400
MAX_ITEMS = 100
MAX_DEPTH = 6
_WRITTEN = {  # their repr is an expression, given these imports
    "decimal.Decimal": "from decimal import Decimal",
    "fractions.Fraction": "from fractions import Fraction",
    "datetime.date": "import datetime",
    "datetime.time": "import datetime",
    "datetime.datetime": "import datetime",
    "datetime.timedelta": "import datetime",
    "pathlib.PurePosixPath": "from pathlib import PurePosixPath",
}
_BRACKETS: Mapping[type[Any], tuple[str, str, str]] = {
    list: ("[", "]", "[]"),
    tuple: ("(", ")", "()"),
    set: ("{", "}", "set()"),
    frozenset: ("frozenset({", "})", "frozenset()"),
    dict: ("{", "}", "{}"),
}


class NotLiteral(ValueError):
    """A value that cannot be written as source text."""


class Writer:
    """Writes values as source text, and collects the imports that the text needs.

    made: texts of objects, by id, with their imports. None: only built-in types are written.
    """

    def __init__(self, made: Mapping[int, tuple[Any, str, frozenset[str]]] | None = None) -> None:
        self.imports: set[str] = set()
        self._made = made

    def write(self, value: Any) -> str:
        """The text of an equal value. Raises NotLiteral, also for a long text."""
        text = self._write(value, MAX_DEPTH)
        if len(text) > MAX_TEXT:
            raise NotLiteral("a long value")
        return text

    def _write(self, value: Any, depth: int) -> str:
        kind = type(value)
        if depth == 0:
            raise NotLiteral("a deep value")
        if kind in _BRACKETS:
            return self._write_collection(value, depth - 1)
        if kind in (str, bytes) and len(value) > MAX_TEXT:
            raise NotLiteral("a long value")
        if kind is float and not math.isfinite(value):
            return f'float("{value}")'
        if value is None or kind in (bool, int, float, complex, range, str, bytes):
            return repr(value)
        return self._write_object(value)

    def _write_object(self, value: Any) -> str:
        kind = type(value)
        if self._made is not None and id(value) in self._made:
            _, text, imports = self._made[id(value)]
            self.imports |= imports
            return text
        needed = _WRITTEN.get(f"{kind.__module__}.{kind.__qualname__}")
        if self._made is None or needed is None or "tzinfo" in repr(value):
            raise NotLiteral(kind.__qualname__)
        self.imports.add(needed)
        return repr(value)

    def _write_collection(self, value: Any, depth: int) -> str:
        if len(value) > MAX_ITEMS:
            raise NotLiteral("a long value")
        begin, end, empty = _BRACKETS[type(value)]
        items = [self._write(item, depth) for item in value]
        if isinstance(value, dict):
            texts = (self._write(item, depth) for item in value.values())
            items = [f"{key}: {text}" for key, text in zip(items, texts, strict=True)]
        elif isinstance(value, set | frozenset):
            items.sort()
        comma = "," if isinstance(value, tuple) and len(value) == 1 else ""
        return f"{begin}{', '.join(items)}{comma}{end}" if items else empty
