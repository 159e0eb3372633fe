"""Bugs put into a module: every one of every kind that fits, in a fixed order.

A bug is a few edits of the text inside one function; layout and comments stay. Whether it makes a
test fail is not known here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from srl_env.errors import BadData
from srl_env.swe.builder.kinds import KINDS
from srl_env.swe.builder.source import Edit, Function, Source, sites


@dataclass(frozen=True, slots=True)
class Mutation:
    """One bug: its kind, its file and function, its first line, and its edits."""

    kind: str
    path: str
    function: str
    line: int
    edits: tuple[Edit, ...]

    @property
    def key(self) -> str:
        """A name that is the same in every build of the same text."""
        edits = ",".join(f"{edit.start}-{edit.end}:{edit.text!r}" for edit in self.edits)
        return f"{self.path}:{self.function}:{self.kind}:{edits}"


def mutations(source: Source, function: Function) -> Iterator[Mutation]:
    """Every bug of every kind in a function; some may not parse, or change nothing."""
    seen = set()
    for site in sites(source, function):
        for name, kind in KINDS.items():
            for edits in kind.edits(site, site.node) if isinstance(site.node, kind.nodes) else ():
                if edits not in seen:
                    seen.add(edits)
                    line = source.data.count(b"\n", 0, min(edit.start for edit in edits)) + 1
                    yield Mutation(name, source.path, function.name, line, edits)


def mutated(source: Source, *bugs: Mutation) -> Source | None:
    """The module with bugs in it; None where it is invalid Python or means the same.

    Bugs must not overlap.
    """
    text = source.edited(edit for bug in bugs for edit in bug.edits)
    try:
        buggy = Source(text, source.path)
    except BadData:
        return None
    return None if buggy.digest == source.digest else buggy
