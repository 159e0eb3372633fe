"""Python source changed in place: by positions of its syntax tree, keeping every other byte.

Positions of syntax trees count UTF-8 bytes, so the text is held as bytes. Nothing here knows which
changes make a bug.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from srl_env.errors import BadData

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
_LOGGERS = frozenset({"logging", "logger", "log", "_log", "_logger", "LOG", "LOGGER", "warnings"})
_UNTOUCHED = frozenset({"__repr__", "__dir__"})


@dataclass(frozen=True, slots=True)
class Edit:
    """The bytes from start to end (exclusive) become text."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Function:
    """A function of a module or a method of a class in it, with all that is nested inside.

    name: as in "Basket.total". node: its definition. first, last: its lines, decorators included.
    """

    name: str
    node: FunctionNode
    first: int
    last: int


class Source:
    """A module's text and its syntax tree.

    Raises BadData for what is no Python, or has line ends that positions cannot be told in.
    """

    def __init__(self, text: str, path: str = "<source>") -> None:
        self.text, self.path = text, path
        self.data = text.encode()
        if b"\r" in self.data.replace(b"\r\n", b""):
            raise BadData(f"{path}:1: a carriage return alone; line ends are \\n or \\r\\n")
        try:
            self.tree = ast.parse(self.data)
        except (SyntaxError, ValueError, RecursionError) as error:
            line = getattr(error, "lineno", None) or 1
            raise BadData(f"{path}:{line}: this is no Python: {error}") from None

    @cached_property
    def _starts(self) -> list[int]:
        starts = [0]
        for line in self.data.split(b"\n"):
            starts.append(starts[-1] + len(line) + 1)
        return starts

    def span(self, node: ast.AST) -> tuple[int, int]:
        """First byte of a node, and the one after its last."""
        lineno, end_lineno = node.lineno, node.end_lineno  # type: ignore[attr-defined]
        start = self._starts[lineno - 1] + node.col_offset  # type: ignore[attr-defined]
        return start, self._starts[end_lineno - 1] + node.end_col_offset  # type: ignore[attr-defined]

    def of(self, node: ast.AST) -> str:
        """The text of a node."""
        start, end = self.span(node)
        return self.data[start:end].decode()

    def between(self, one: ast.AST, other: ast.AST) -> tuple[int, int]:
        """The bytes after one node and before another."""
        return self.span(one)[1], self.span(other)[0]

    def line_start(self, line: int) -> int:
        """The first byte of a line, counted from 1; also of the one after the last."""
        return min(self._starts[line - 1], len(self.data))

    def edited(self, edits: Iterable[Edit]) -> str:
        """The text with edits made, which must not overlap."""
        parts, at = [], 0
        for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
            assert at <= edit.start <= edit.end
            parts += [self.data[at : edit.start], edit.text.encode()]
            at = edit.end
        return b"".join([*parts, self.data[at:]]).decode()

    @cached_property
    def digest(self) -> str:
        """A digest that is equal for code that differs only in its layout and comments."""
        return hashlib.sha256(ast.dump(self.tree).encode()).hexdigest()

    @cached_property
    def functions(self) -> tuple[Function, ...]:
        """The outermost functions of the module and the methods of its classes."""
        return tuple(_functions(self.tree, ""))

    def function_at(self, line: int) -> Function | None:
        """The outermost function around a line."""
        return next((f for f in self.functions if f.first <= line <= f.last), None)


def _functions(scope: ast.Module | ast.ClassDef, prefix: str) -> Iterator[Function]:
    for node in scope.body:
        if isinstance(node, ast.ClassDef):
            yield from _functions(node, f"{prefix}{node.name}.")
        elif isinstance(node, FunctionNode):
            first = min([node.lineno, *(mark.lineno for mark in node.decorator_list)])
            yield Function(f"{prefix}{node.name}", node, first, node.end_lineno or node.lineno)


@dataclass(frozen=True, slots=True)
class Site:
    """A node where something may be changed, and what it is part of."""

    source: Source
    function: Function
    node: ast.AST
    parent: ast.AST

    def replace(self, node: ast.AST, text: str) -> Edit:
        """The node's text becomes another."""
        return Edit(*self.source.span(node), text)


def sites(source: Source, function: Function) -> Iterator[Site]:
    """The nodes of a function's body and defaults that behaviour hangs on.

    Left out: docstrings, annotations, decorators, logging, messages of exceptions and assertions,
    f-strings (whose positions Python before 3.12 does not tell), functions that only describe.
    """
    if function.node.name in _UNTOUCHED:
        return
    yield Site(source, function, function.node, function.node)
    pending: list[tuple[ast.AST, ast.AST]] = _children(function.node)
    while pending:
        node, parent = pending.pop(0)
        yield Site(source, function, node, parent)
        pending = _children(node) + pending


def _children(node: ast.AST) -> list[tuple[ast.AST, ast.AST]]:
    if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Call) and only_tells(node)):
        return []
    found = []
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params", "ctx"):
            continue
        if isinstance(node, ast.Raise | ast.Assert) and name != "test":
            continue
        children = value if isinstance(value, list) else [value]
        found += [(child, node) for child in children if isinstance(child, ast.AST)]
    return [(child, parent) for child, parent in found if not only_tells(child)]


def only_tells(node: ast.AST) -> bool:
    """Whether a statement or call only documents or logs."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant) or only_tells(node.value)
    if not isinstance(node, ast.Call):
        return False
    if not isinstance(node.func, ast.Attribute):
        return False
    owner = node.func.value
    name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
    return name in _LOGGERS
