"""Values as Python source: built-in types, and a few of the standard library that are values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

MAX_TEXT = 400
_WRITTEN = {  # their repr is an expression, given these imports
    "decimal.Decimal": "from decimal import Decimal",
    "fractions.Fraction": "from fractions import Fraction",
    "datetime.date": "import datetime",
    "datetime.time": "import datetime",
    "datetime.datetime": "import datetime",
    "datetime.timedelta": "import datetime",
    "pathlib.PurePosixPath": "from pathlib import PurePosixPath",
}


class NotLiteral(ValueError):
    """A value that cannot be written as source text."""


class Writer:
    """Writes values as source text, and keeps the imports that the text needs.

    made: texts for objects, by id, with their imports; None: only built-in types are written.
    """

    def __init__(self, made: Mapping[int, tuple[Any, str, frozenset[str]]] | None = None) -> None:
        self.imports: set[str] = set()
        self._made = made

    def write(self, value: Any) -> str:
        """The text of an equal value. Raises NotLiteral, also where it is long."""
        text = self._write(value, 6)
        if len(text) > MAX_TEXT:
            raise NotLiteral("a long value")
        return text

    def _write(self, value: Any, depth: int) -> str:
        kind = type(value)
        if depth == 0:
            raise NotLiteral("a deep value")
        if value is None or kind in (bool, int, complex, range):
            return repr(value)
        if kind is float:
            return repr(value) if math.isfinite(value) else f'float("{value}")'
        if kind in (str, bytes):
            if len(value) > MAX_TEXT:
                raise NotLiteral("a long value")
            return repr(value)
        if kind in (list, tuple, set, frozenset, dict):
            return self._write_collection(value, depth)
        if self._made is not None:
            return self._write_object(value, self._made)
        raise NotLiteral(kind.__qualname__)

    def _write_object(self, value: Any, made: Mapping[int, tuple[Any, str, frozenset[str]]]) -> str:
        kind = type(value)
        if known := made.get(id(value)):
            self.imports |= known[2]
            return known[1]
        needed = _WRITTEN.get(f"{kind.__module__}.{kind.__qualname__}")
        if needed is None or "tzinfo" in repr(value):
            raise NotLiteral(kind.__qualname__)
        self.imports.add(needed)
        return repr(value)

    def _write_collection(self, value: Any, depth: int) -> str:
        if len(value) > 100:
            raise NotLiteral("a long value")
        if isinstance(value, dict):
            pairs = (
                f"{self._write(key, depth - 1)}: {self._write(item, depth - 1)}"
                for key, item in value.items()
            )
            return "{" + ", ".join(pairs) + "}"
        items = [self._write(item, depth - 1) for item in value]
        if isinstance(value, list):
            return f"[{', '.join(items)}]"
        if isinstance(value, tuple):
            return f"({items[0]},)" if len(items) == 1 else f"({', '.join(items)})"
        inner = ", ".join(sorted(items))
        if isinstance(value, frozenset):
            return f"frozenset({{{inner}}})" if items else "frozenset()"
        return f"{{{inner}}}" if items else "set()"
