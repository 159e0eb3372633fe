"""Templates: texts with values, conditions and loops."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pagemill.errors import TemplateError
from pagemill.escape import escape

_TAG = re.compile(r"\{\{\s*(?P<value>.*?)\s*\}\}|\{%\s*(?P<order>.*?)\s*%\}", re.DOTALL)
_PATH = re.compile(r"[A-Za-z_]\w*(\.\w+)*")
_MISSING = object()

FILTERS: dict[str, Callable[[Any], Any]] = {
    "upper": lambda value: str(value).upper(),
    "lower": lambda value: str(value).lower(),
    "title": lambda value: str(value).title(),
    "trim": lambda value: str(value).strip(),
    "length": len,
    "join": lambda value: ", ".join(map(str, value)),
    "escape": lambda value: escape(str(value)),
}


@dataclass
class _Text:
    text: str


@dataclass
class _Insert:
    path: str
    filters: list[tuple[str, str]]
    line: int


@dataclass
class _Block:
    """kind: "if", "for" or "all"; name: the loop's variable; parts, otherwise: what is inside."""

    kind: str
    line: int
    path: str = ""
    negated: bool = False
    name: str = ""
    parts: list[Any] = field(default_factory=list)
    otherwise: list[Any] | None = None

    def current(self) -> list[Any]:
        return self.parts if self.otherwise is None else self.otherwise


def fill(source: str, values: Mapping[str, Any]) -> str:
    """The template's text with the values in it. Raises TemplateError."""
    return Template(source).fill(values)


class Template:
    """A template that is read once and filled many times.

    Raises TemplateError for tags that are unknown, or not closed.
    """

    def __init__(self, source: str) -> None:
        self._root = _read(source)

    def fill(self, values: Mapping[str, Any]) -> str:
        """The text with the values in it. Raises TemplateError for values that are missing."""
        return "".join(_fill_parts(self._root.parts, dict(values)))

    def names(self) -> list[str]:
        """The values that are needed from outside, sorted."""
        return sorted(_names(self._root.parts, frozenset()))


def lookup(path: str, values: Mapping[str, Any]) -> Any:
    """The value at a path such as ``order.items.0``; a missing one is LookupError."""
    found: Any = values
    for key in path.split("."):
        if isinstance(found, Mapping) and key in found:
            found = found[key]
        elif isinstance(found, list | tuple) and key.isdecimal() and int(key) < len(found):
            found = found[int(key)]
        else:
            raise LookupError(f"no value {path!r}")
    return found


def _read(source: str) -> _Block:
    open_blocks = [_Block("all", 1)]
    position = 0
    for match in _TAG.finditer(source):
        _add_text(open_blocks[-1], source[position : match.start()])
        line = source.count("\n", 0, match.start()) + 1
        if match["value"] is not None:
            open_blocks[-1].current().append(_read_insert(match["value"], line))
        else:
            _read_order(match["order"], line, open_blocks)
        position = match.end()
    _add_text(open_blocks[-1], source[position:])
    if len(open_blocks) > 1:
        raise TemplateError(f"{open_blocks[-1].kind!r} is not ended", open_blocks[-1].line)
    return open_blocks[0]


def _add_text(block: _Block, text: str) -> None:
    if text:
        block.current().append(_Text(text))


def _read_insert(text: str, line: int) -> _Insert:
    path, *filters = [part.strip() for part in text.split("|")]
    if not _PATH.fullmatch(path):
        raise TemplateError(f"not a name: {path!r}", line)
    read = []
    for part in filters:
        name, _, argument = part.partition(" ")
        if name not in FILTERS and name != "default":
            raise TemplateError(f"unknown filter {name!r}", line)
        read.append((name, argument.strip()))
    return _Insert(path, read, line)


def _read_order(order: str, line: int, open_blocks: list[_Block]) -> None:
    match order.split():
        case ["if", "not", path]:
            _open(open_blocks, _Block("if", line, path, negated=True))
        case ["if", path]:
            _open(open_blocks, _Block("if", line, path))
        case ["for", name, "in", path]:
            _open(open_blocks, _Block("for", line, path, name=name))
        case ["else"]:
            if open_blocks[-1].kind == "all" or open_blocks[-1].otherwise is not None:
                raise TemplateError("an 'else' without its 'if'", line)
            open_blocks[-1].otherwise = []
        case ["end"]:
            if len(open_blocks) == 1:
                raise TemplateError("an 'end' too many", line)
            open_blocks.pop()
        case _:
            raise TemplateError(f"not understood: {order!r}", line)


def _open(open_blocks: list[_Block], block: _Block) -> None:
    open_blocks[-1].current().append(block)
    open_blocks.append(block)


def _fill_parts(parts: list[Any], values: dict[str, Any]) -> list[str]:
    return [_fill_part(part, values) for part in parts]


def _fill_part(part: Any, values: dict[str, Any]) -> str:
    match part:
        case _Text(text):
            return text
        case _Insert():
            return _fill_insert(part, values)
        case _Block("if"):
            chosen = part.parts if _holds(part, values) else part.otherwise or []
            return "".join(_fill_parts(chosen, values))
        case _:
            return _fill_loop(part, values)


def _fill_insert(insert: _Insert, values: Mapping[str, Any]) -> str:
    value: Any
    try:
        value = lookup(insert.path, values)
    except LookupError:
        value = _MISSING
    for name, argument in insert.filters:
        if name == "default":
            value = argument if value is _MISSING or value in (None, "") else value
        elif value is not _MISSING:
            value = _filtered(name, value, insert.line)
    if value is _MISSING:
        raise TemplateError(f"no value for {insert.path!r}", insert.line)
    return "" if value is None else str(value)


def _filtered(name: str, value: Any, line: int) -> Any:
    try:
        return FILTERS[name](value)
    except TypeError:
        raise TemplateError(f"{name!r} does not go with {value!r}", line) from None


def _holds(block: _Block, values: Mapping[str, Any]) -> bool:
    """Whether a value is there and not empty, or the other way round."""
    try:
        present = bool(lookup(block.path, values))
    except LookupError:
        present = False
    return present != block.negated


def _fill_loop(block: _Block, values: dict[str, Any]) -> str:
    """The parts once for each item; ``loop.index`` counts from 1, ``loop.last`` is the last."""
    try:
        items = list(lookup(block.path, values))
    except LookupError:
        raise TemplateError(f"no value for {block.path!r}", block.line) from None
    if not items:
        return "".join(_fill_parts(block.otherwise or [], values))
    written = []
    for index, item in enumerate(items, start=1):
        loop = {"index": index, "first": index == 1, "last": index == len(items)}
        inner = {**values, block.name: item, "loop": loop}
        written += _fill_parts(block.parts, inner)
    return "".join(written)


def _names(parts: list[Any], known: frozenset[str]) -> set[str]:
    found: set[str] = set()
    for part in parts:
        if isinstance(part, _Text):
            continue
        name = part.path.partition(".")[0]
        if name not in known:
            found.add(name)
        if isinstance(part, _Block):
            inner = known | {part.name, "loop"} if part.kind == "for" else known
            found |= _names(part.parts, inner) | _names(part.otherwise or [], known)
    return found
