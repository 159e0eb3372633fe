"""Bugs in statements: one is missing, in the wrong branch, or ends the wrong loop."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator

from srl_env.swe.builder.kinds.kind import Edits, kind
from srl_env.swe.builder.source import Site, only_describes

_ENDS = (ast.Return, ast.Raise, ast.Continue, ast.Break)


@kind(ast.AST)
def removed_guard(site: Site, node: ast.AST) -> Edits:
    """A missing check that would have ended the function or the loop."""
    for block, statement in _block_statements(node):
        if isinstance(statement, ast.If) and isinstance(statement.body[-1], _ENDS):
            yield from _without(site, block, statement) if not statement.orelse else ()


@kind(ast.AST)
def dropped_statement(site: Site, node: ast.AST) -> Edits:
    """A missing update, call or assignment."""
    for block, statement in _block_statements(node):
        if _can_be_dropped(site, statement):
            yield from _without(site, block, statement)


@kind(ast.Return)
def lost_return(site: Site, node: ast.Return) -> Edits:
    """The result of a call is not returned."""
    if isinstance(node.value, ast.Call):
        yield site.replace(node, site.source.of(node.value))


@kind(ast.AST)
def early_return(site: Site, node: ast.AST) -> Edits:
    """``return`` inside the loop instead of after it."""
    for block in _blocks(node):
        for loop, last in itertools.pairwise(block):
            if not isinstance(loop, ast.For) or not isinstance(last, ast.Return):
                continue
            end = loop.body[-1]
            if loop.orelse or last.value is None or isinstance(end, _ENDS):
                continue
            at = site.source.line_start((end.end_lineno or end.lineno) + 1)
            if _has_its_lines(site, end) and site.source.data[at - 1 : at] == b"\n":
                text = " " * end.col_offset + site.source.of(last) + site.source.line_end
                yield site.edit(at, at, text)


@kind(ast.Break, ast.Continue)
def wrong_loop_end(site: Site, node: ast.Break | ast.Continue) -> Edits:
    """``continue`` for ``break``, or the reverse."""
    yield site.replace(node, "continue" if isinstance(node, ast.Break) else "break")


@kind(ast.If)
def swapped_branches(site: Site, node: ast.If) -> Edits:
    """The statements of if and else are exchanged."""
    if _has_plain_else(node):
        blocks = (node.body, node.orelse)
        if all(_has_its_lines(site, part) for block in blocks for part in (block[0], block[-1])):
            (a, b), (c, d) = (
                (site.source.span(block[0])[0], site.source.span(block[-1])[1]) for block in blocks
            )
            body, orelse = site.source.data[a:b].decode(), site.source.data[c:d].decode()
            yield site.edit(a, b, orelse) + site.edit(c, d, body)


@kind(ast.If)
def removed_else(site: Site, node: ast.If) -> Edits:
    """A missing else branch."""
    parts = (node.body[-1], *node.orelse)
    if _has_plain_else(node) and all(_has_its_lines(site, part) for part in parts):
        begin, end = (block[-1].end_lineno or 0 for block in (node.body, node.orelse))
        yield site.edit(site.source.line_start(begin + 1), site.source.line_start(end + 1))


@kind(ast.YieldFrom)
def yielded_whole(site: Site, node: ast.YieldFrom) -> Edits:
    """``yield`` for ``yield from``."""
    yield site.edit(site.source.span(node)[0], site.source.span(node.value)[0], "yield ")


def _blocks(node: ast.AST) -> Iterator[list[ast.stmt]]:
    for name in ("body", "orelse", "finalbody"):
        block = getattr(node, name, None)
        if isinstance(block, list) and block and isinstance(block[0], ast.stmt):
            yield block


def _block_statements(node: ast.AST) -> Iterator[tuple[list[ast.stmt], ast.stmt]]:
    return ((block, statement) for block in _blocks(node) for statement in block)


def _has_plain_else(node: ast.If) -> bool:
    """Whether there is an else branch that is no elif."""
    return bool(node.orelse) and not isinstance(node.orelse[0], ast.If)


def _can_be_dropped(site: Site, statement: ast.stmt) -> bool:
    if isinstance(statement, ast.AugAssign):
        return True
    if isinstance(statement, ast.Expr):
        acts = isinstance(statement.value, ast.Call | ast.Yield | ast.YieldFrom)
        return acts and not only_describes(statement)
    if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
        return False
    target = statement.targets[0]
    if isinstance(target, ast.Attribute | ast.Subscript):
        return True
    return isinstance(target, ast.Name) and target.id in _bound_before(site, statement.lineno)


def _bound_before(site: Site, line: int) -> set[str]:
    """The parameters, and the names that the function assigns before a line."""
    stored = (
        node.id
        for node in ast.walk(site.function.node)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.lineno < line
    )
    return {*site.parameters, *stored}


def _without(site: Site, block: list[ast.stmt], statement: ast.stmt) -> Edits:
    """The block without one of its statements; it must have another one that does something."""
    others = [each for each in block if each is not statement and not only_describes(each)]
    if others and _has_its_lines(site, statement):
        end = site.source.line_start((statement.end_lineno or statement.lineno) + 1)
        yield site.edit(site.source.line_start(statement.lineno), end)


def _has_its_lines(site: Site, statement: ast.stmt) -> bool:
    """Whether at most a comment shares the lines of a statement."""
    source = site.source
    start, end = source.span(statement)
    before = source.data[source.line_start(statement.lineno) : start].strip()
    after = source.line_start((statement.end_lineno or statement.lineno) + 1)
    return not before and source.data[end:after].strip()[:1] in (b"", b"#")
