"""The parts of a formula as a tree, and questions about the tree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

Value = int | float | str | bool


@dataclass(frozen=True)
class Literal:
    """A number, a text or a truth value."""

    value: Value


@dataclass(frozen=True)
class Name:
    """A variable."""

    name: str


@dataclass(frozen=True)
class Unary:
    """``-`` or ``not`` before an operand."""

    operator: str
    operand: Node


@dataclass(frozen=True)
class Binary:
    """An operator between two operands."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True)
class Conditional:
    """``test ? then : otherwise``."""

    test: Node
    then: Node
    otherwise: Node


@dataclass(frozen=True)
class Call:
    """A function with its arguments."""

    function: str
    arguments: tuple[Node, ...]


Node = Literal | Name | Unary | Binary | Conditional | Call


def children(node: Node) -> tuple[Node, ...]:
    """The parts of a node, left to right."""
    match node:
        case Unary(_, operand):
            return (operand,)
        case Binary(_, left, right):
            return (left, right)
        case Conditional(test, then, otherwise):
            return (test, then, otherwise)
        case Call(_, arguments):
            return arguments
        case _:
            return ()


def walk(node: Node) -> Iterator[Node]:
    """The node and all below it, each before its parts."""
    yield node
    for child in children(node):
        yield from walk(child)


def names_in(node: Node) -> list[str]:
    """The variables of a formula, each once, in the order they appear."""
    return list(dict.fromkeys(part.name for part in walk(node) if isinstance(part, Name)))


def functions_in(node: Node) -> list[str]:
    """The functions that a formula calls, each once, sorted."""
    return sorted({part.function for part in walk(node) if isinstance(part, Call)})


def depth_of(node: Node) -> int:
    """How many nodes lie on the longest way down; 1 for a literal."""
    return 1 + max((depth_of(child) for child in children(node)), default=0)
