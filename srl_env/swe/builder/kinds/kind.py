"""The table of kinds of bugs. The modules beside this one fill it."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from srl_env.swe.builder.source import Edit, Site

Edits = Iterator[tuple[Edit, ...]]
Function = Callable[[Site, Any], Edits]


@dataclass(frozen=True, slots=True)
class Kind:
    """nodes: the types of nodes it fits. edits: the edits for a site and its node."""

    nodes: tuple[type[ast.AST], ...]
    edits: Function


KINDS: Final[dict[str, Kind]] = {}


def table(text: str) -> dict[str, tuple[str, ...]]:
    """{name: others} from "name other other; name other"."""
    rows = (row.split() for row in text.split(";"))
    return {name: tuple(others) for name, *others in rows}


def kind(*nodes: type[ast.AST]) -> Callable[[Function], Function]:
    """Registers a function under its own name as a kind of bug in nodes of these types."""

    def register(function: Function) -> Function:
        KINDS[function.__name__] = Kind(nodes, function)
        return function

    return register
