"""Python source that is edited in place, by positions of its syntax tree.

Every other byte stays. Positions of syntax trees count UTF-8 bytes, so the text is held as bytes.
Which edits make a bug is decided elsewhere (``kinds``).
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
_SKIPPED_FIELDS = ("annotation", "returns", "decorator_list", "type_params", "ctx")


@dataclass(frozen=True, slots=True)
class Edit:
    """The bytes from start to end (exclusive) become text."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Function:
    """A function of a module or a method of its classes, nested functions included.

    name: as in "Basket.total". node: its definition. first, last: its lines, with decorators.
    """

    name: str
    node: FunctionNode
    first: int
    last: int

    @property
    def lines(self) -> int:
        """How many lines it has."""
        return self.last - self.first + 1


class Source:
    """A module's text and its syntax tree.

    Raises BadData for invalid Python, and for carriage returns alone, which hide line positions.
    """

    def __init__(self, text: str, path: str = "<source>") -> None:
        self.text, self.path = text, path
        self.data = text.encode()
        if b"\r" in self.data.replace(b"\r\n", b""):
            raise BadData(f"{path}:1: line ends must be \\n or \\r\\n; got a carriage return alone")
        try:
            self.tree = ast.parse(self.data)
        except (SyntaxError, ValueError, RecursionError) as error:
            line = getattr(error, "lineno", None) or 1
            raise BadData(f"{path}:{line}: invalid Python: {error}") from None

    @cached_property
    def _starts(self) -> list[int]:
        starts = [0]
        for line in self.data.split(b"\n"):
            starts.append(starts[-1] + len(line) + 1)
        return starts

    @cached_property
    def attributes(self) -> frozenset[str]:
        """The names of all attributes that it uses."""
        nodes = (node for node in ast.walk(self.tree) if isinstance(node, ast.Attribute))
        return frozenset(node.attr for node in nodes)

    @property
    def line_end(self) -> str:
        """The end of new lines."""
        return "\r\n" if b"\r\n" in self.data else "\n"

    def span(self, node: ast.AST) -> tuple[int, int]:
        """First byte of a node, and the one after its last."""
        lineno, end_lineno = node.lineno, node.end_lineno  # type: ignore[attr-defined]
        start = self._starts[lineno - 1] + node.col_offset  # type: ignore[attr-defined]
        return start, self._starts[end_lineno - 1] + node.end_col_offset  # type: ignore[attr-defined]

    def of(self, node: ast.AST) -> str:
        """The text of a node."""
        start, end = self.span(node)
        return self.data[start:end].decode()

    def line_start(self, line: int) -> int:
        """The first byte of a line, counted from 1; also of the one after the last."""
        return min(self._starts[line - 1], len(self.data))

    def edited(self, edits: Iterable[Edit]) -> str:
        """The text after edits that do not overlap."""
        parts, at = [], 0
        for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
            assert at <= edit.start <= edit.end
            parts += [self.data[at : edit.start], edit.text.encode()]
            at = edit.end
        return b"".join([*parts, self.data[at:]]).decode()

    @cached_property
    def digest(self) -> str:
        """A digest of the code without layout and comments."""
        return hashlib.sha256(ast.dump(self.tree).encode()).hexdigest()

    @cached_property
    def functions(self) -> tuple[Function, ...]:
        """The outermost functions of the module and the methods of its classes."""
        return tuple(_functions(self.tree, ""))

    @cached_property
    def documented(self) -> tuple[tuple[str, FunctionNode | ast.ClassDef], ...]:
        """The functions of ``functions`` and the outermost classes, by name."""
        classes = [node for node in self.tree.body if isinstance(node, ast.ClassDef)]
        functions = [(function.name, function.node) for function in self.functions]
        return (*functions, *((node.name, node) for node in classes))

    def function(self, name: str) -> Function:
        """The function of that name."""
        return next(function for function in self.functions if function.name == name)

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
    """A node that may be edited, and its parent. Its methods return the edits of one bug."""

    source: Source
    function: Function
    node: ast.AST
    parent: ast.AST

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the function's parameters."""
        given = self.function.node.args
        return tuple(a.arg for a in (*given.posonlyargs, *given.args, *given.kwonlyargs))

    def edit(self, start: int, end: int, text: str = "") -> tuple[Edit, ...]:
        """Bytes become a text."""
        return (Edit(start, end, text),)

    def replace(self, node: ast.AST, text: str) -> tuple[Edit, ...]:
        """A node's text becomes another."""
        return self.edit(*self.source.span(node), text)

    def replacements(self, node: ast.AST, *texts: str) -> Iterator[tuple[Edit, ...]]:
        """One bug for each of the texts."""
        return (self.replace(node, text) for text in texts)

    def rename(self, node: ast.Attribute, name: str) -> tuple[Edit, ...]:
        """Another attribute of the same object."""
        end = self.source.span(node)[1]
        return self.edit(end - len(node.attr.encode()), end, name)

    def swap(self, one: ast.AST, other: ast.AST) -> tuple[Edit, ...]:
        """Two nodes change places."""
        return self.replace(one, self.source.of(other)) + self.replace(other, self.source.of(one))


def sites(source: Source, function: Function) -> Iterator[Site]:
    """The nodes of a function that determine its behaviour, its defaults included.

    Excluded: docstrings, annotations, decorators, logging, messages of exceptions and assertions,
    f-strings (Python before 3.12 does not report their positions), and ``__repr__``.
    """
    if function.node.name in _UNTOUCHED:
        return
    pending: list[tuple[ast.AST, ast.AST]] = [(function.node, function.node)]
    while pending:
        node, parent = pending.pop(0)
        yield Site(source, function, node, parent)
        pending = _children(node) + pending


def _children(node: ast.AST) -> list[tuple[ast.AST, ast.AST]]:
    if isinstance(node, ast.JoinedStr):
        return []
    found = []
    for name, value in ast.iter_fields(node):
        message = isinstance(node, ast.Raise | ast.Assert) and name != "test"
        if name not in _SKIPPED_FIELDS and not message:
            found += value if isinstance(value, list) else [value]
    return [(n, node) for n in found if isinstance(n, ast.AST) and not only_describes(n)]


def only_describes(node: ast.AST) -> bool:
    """Whether a statement or call only documents or logs."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant) or only_describes(node.value)
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    owner = node.func.value
    name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
    return name in _LOGGERS
