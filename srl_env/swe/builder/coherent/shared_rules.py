"""Faults in what several functions do alike: all of them get the same mistake.

The functions share no code. To correct all of them, one must look for the others.
"""

from __future__ import annotations

import ast
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from srl_env.swe.builder.coherent.places import Bugs, Place, bug_at
from srl_env.swe.builder.kinds import KINDS
from srl_env.swe.builder.source import Edit, Site, Source, sites

_RULES: Final = (ast.Compare, ast.BoolOp, ast.BinOp, ast.Call, ast.IfExp, ast.Subscript)
_SHORTEST: Final = 8  # characters of an expression
_MOST: Final = 3  # functions


def shared_rule(sources: Mapping[str, Source]) -> Iterator[Bugs]:
    """An expression that several functions have becomes wrong in all of them, in the same way."""
    for found in _alike(sources, _rule):
        for kind in KINDS.values():
            if isinstance(found[0].node, kind.nodes):
                edits = [list(kind.edits(site, site.node)) for site in found]
                for same in zip(*edits, strict=False):
                    if len({_relative(*one) for one in zip(found, same, strict=True)}) == 1:
                        yield _together("shared_rule", found, same)


def shared_argument(sources: Mapping[str, Source]) -> Iterator[Bugs]:
    """An argument that several functions pass to the same function is passed by none of them."""
    for found in _alike(sources, _passed):
        words = {ast.unparse(word) for word in _keywords(found[0].node)}
        words.intersection_update(*({*map(ast.unparse, _keywords(s.node))} for s in found[1:]))
        for word in sorted(words):
            yield _together("shared_argument", found, [_without(site, word) for site in found])


def _rule(site: Site) -> Iterator[str]:
    if isinstance(site.node, _RULES) and len(text := ast.unparse(site.node)) >= _SHORTEST:
        yield text


def _passed(site: Site) -> Iterator[str]:
    if isinstance(site.node, ast.Call):
        name = ast.unparse(site.node.func).rpartition(".")[2]
        yield from (f"{name}({ast.unparse(word)})" for word in _keywords(site.node))


def _keywords(node: ast.AST) -> list[ast.keyword]:
    """The keywords of a call, without unpacked ones."""
    return [word for word in getattr(node, "keywords", ()) if word.arg]


def _alike(
    sources: Mapping[str, Source], keys: Callable[[Site], Iterable[str]]
) -> Iterator[Sequence[Site]]:
    """Two or three sites of different functions that have a key in common."""
    found: dict[str, dict[tuple[str, str], Site]] = defaultdict(dict)
    for source in sources.values():
        for function in source.functions:
            for site in sites(source, function):
                for key in keys(site):
                    found[key].setdefault((source.path, function.name), site)
    for places in map(list, (by_function.values() for by_function in found.values())):
        if 1 < len(places) <= _MOST:
            yield places
        elif len(places) > _MOST:
            yield from itertools.pairwise(places)


def _relative(site: Site, edits: tuple[Edit, ...]) -> tuple[tuple[int, int, str], ...]:
    """Edits by their distance from the beginning of a node."""
    start, _ = site.source.span(site.node)
    return tuple((edit.start - start, edit.end - start, edit.text) for edit in edits)


def _together(kind: str, found: Sequence[Site], edits: Sequence[tuple[Edit, ...]]) -> Bugs:
    return tuple(
        bug_at(kind, Place(site.source, site.function, site.node).part(*each))
        for site, each in zip(found, edits, strict=True)
    )


def _without(site: Site, word: str) -> tuple[Edit, ...]:
    """The edit that removes a keyword from a call, with the comma before or after it."""
    node = site.node
    assert isinstance(node, ast.Call)
    parts = [*node.args, *node.keywords]
    spans = sorted(map(site.source.span, parts))
    keyword = next(item for item in node.keywords if ast.unparse(item) == word)
    start, end = site.source.span(keyword)
    number = spans.index((start, end))
    if number:
        return (Edit(spans[number - 1][1], end, ""),)
    return (Edit(start, spans[1][0] if len(spans) > 1 else end, ""),)
