"""Places in functions, and bugs that are put together from edits at several of them."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from srl_env.swe.builder.mutation import Mutation, Part
from srl_env.swe.builder.source import Edit, Function, Source

Bugs = tuple[Mutation, ...]
"""Bugs that belong together."""


@dataclass(frozen=True, slots=True)
class Place:
    """A node in a function of a file."""

    source: Source
    function: Function
    node: ast.AST

    def part(self, *edits: Edit) -> Part:
        return Part(self.source.path, self.function.name, edits)


def bug_at(kind: str, shows: Part, *others: Part) -> Mutation:
    """The bug; shows: the part in the function where it shows."""
    joined: dict[tuple[str, str], tuple[Edit, ...]] = {}
    for part in (shows, *others):
        key = part.path, part.function
        joined[key] = joined.get(key, ()) + part.edits
    first, *more = (Part(path, name, edits) for (path, name), edits in joined.items())
    return Mutation(kind, first.path, first.function, first.edits, tuple(more))
