"""Bugs put into modules: every one of every kind that fits, in a fixed order.

A bug is a few edits of the text inside one function, or of several that belong together
(``coherent``); layout and comments stay. Whether it makes a test fail is not known here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from srl_env.errors import BadData
from srl_env.swe.builder.kinds import KINDS
from srl_env.swe.builder.source import Edit, Function, Source, sites


@dataclass(frozen=True, slots=True)
class Part:
    """The edits of one function of a file; none if it only shows what is wrong elsewhere."""

    path: str
    function: str
    edits: tuple[Edit, ...]

    @property
    def key(self) -> str:
        """A name that is the same in every build of the same text."""
        edits = ",".join(f"{edit.start}-{edit.end}:{edit.text!r}" for edit in self.edits)
        return f"{self.path}:{self.function}:{edits}"


@dataclass(frozen=True, slots=True)
class Mutation:
    """One bug: its kind, its file and function, its edits there, and its parts elsewhere.

    completion: the edits that correct it by finishing what its other edits began, as for a caller
    that was forgotten. None where it is only corrected by undoing all of its edits.
    """

    kind: str
    path: str
    function: str
    edits: tuple[Edit, ...]
    more: tuple[Part, ...] = ()
    completion: Part | None = None

    @property
    def completed(self) -> Mutation | None:
        """The change with its completion; None where there is none."""
        if self.completion is None:
            return None
        return replace(self, more=(*self.more, self.completion), completion=None)

    @property
    def parts(self) -> tuple[Part, ...]:
        """All its parts."""
        return (Part(self.path, self.function, self.edits), *self.more)

    @property
    def changed(self) -> tuple[str, ...]:
        """The files that it changes."""
        return tuple(dict.fromkeys(part.path for part in self.parts if part.edits))

    @property
    def key(self) -> str:
        """A name that is the same in every build of the same text."""
        edits = ",".join(f"{edit.start}-{edit.end}:{edit.text!r}" for edit in self.edits)
        own = f"{self.path}:{self.function}:{self.kind}:{edits}"
        return " & ".join([own, *(part.key for part in self.more)])


def mutations(source: Source, function: Function) -> Iterator[Mutation]:
    """Every bug of every kind in a function; some may not parse, or change nothing."""
    seen = set()
    for site in sites(source, function):
        for name, kind in KINDS.items():
            for edits in kind.edits(site, site.node) if isinstance(site.node, kind.nodes) else ():
                if edits not in seen:
                    seen.add(edits)
                    yield Mutation(name, source.path, function.name, edits)


def mutated(source: Source, *bugs: Mutation) -> Source | None:
    """The module with bugs in it; None where it is invalid Python or means the same.

    Bugs must not overlap.
    """
    parts = (part for bug in bugs for part in bug.parts if part.path == source.path)
    text = source.edited(edit for part in parts for edit in part.edits)
    try:
        buggy = Source(text, source.path)
    except BadData:
        return None
    return None if buggy.digest == source.digest else buggy
