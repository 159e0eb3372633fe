"""Bugs in statements: something is left out, in the wrong branch, or ends the wrong loop."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator

from srl_env.swe.builder.kinds.kind import Edits, kind
from srl_env.swe.builder.source import Edit, Site, only_tells

_ENDS = (ast.Return, ast.Raise, ast.Continue, ast.Break)


@kind
def removed_guard(site: Site) -> Edits:
    """A check at which a function would have stopped is left out."""
    for block in _blocks(site.node):
        for statement in block:
            if not isinstance(statement, ast.If) or statement.orelse:
                continue
            if isinstance(statement.body[-1], _ENDS):
                yield from _without(site, block, statement)


@kind
def dropped_statement(site: Site) -> Edits:
    """An update, a call or an assignment is left out."""
    for block in _blocks(site.node):
        for statement in block:
            if _can_be_dropped(site, statement):
                yield from _without(site, block, statement)


@kind
def lost_return(site: Site) -> Edits:
    """A value is computed and not returned."""
    node = site.node
    if isinstance(node, ast.Return) and not isinstance(node.value, ast.Constant | None):
        kept = site.source.of(node.value) if isinstance(node.value, ast.Call) else "return"
        yield (site.replace(node, kept),)


@kind
def early_return(site: Site) -> Edits:
    """``return`` inside the loop instead of after it."""
    for block in _blocks(site.node):
        for loop, last in itertools.pairwise(block):
            if not isinstance(loop, ast.For) or not isinstance(last, ast.Return):
                continue
            if loop.orelse or last.value is None or not _whole_lines(site, loop.body[-1]):
                continue
            end = loop.body[-1].end_lineno or 0
            at = site.source.line_start(end + 1)
            column = loop.body[-1].col_offset
            text = " " * column + site.source.of(last) + _line_end(site)
            if not isinstance(loop.body[-1], _ENDS) and site.source.data[at - 1 : at] == b"\n":
                yield (Edit(at, at, text),)


@kind
def wrong_loop_end(site: Site) -> Edits:
    """``continue`` for ``break``, and the other way round, or neither."""
    if isinstance(site.node, ast.Break | ast.Continue):
        other = "continue" if isinstance(site.node, ast.Break) else "break"
        yield (site.replace(site.node, other),)
        yield (site.replace(site.node, "pass"),)


@kind
def swapped_branches(site: Site) -> Edits:
    """What belongs to if and what belongs to else are exchanged."""
    node = site.node
    if not isinstance(node, ast.If) or not node.orelse or isinstance(node.orelse[0], ast.If):
        return
    blocks = (node.body, node.orelse)
    if all(_whole_lines(site, block[0]) and _whole_lines(site, block[-1]) for block in blocks):
        spans = [(site.source.span(b[0])[0], site.source.span(b[-1])[1]) for b in blocks]
        texts = [site.source.data[start:end].decode() for start, end in spans]
        yield Edit(*spans[0], texts[1]), Edit(*spans[1], texts[0])


@kind
def removed_else(site: Site) -> Edits:
    """What should happen otherwise is left out."""
    node = site.node
    if not isinstance(node, ast.If) or not node.orelse or isinstance(node.orelse[0], ast.If):
        return
    if all(_whole_lines(site, part) for part in node.orelse):
        first, last = node.orelse[0], node.orelse[-1]
        yield (Edit(site.source.span(first)[0], site.source.span(last)[1], "pass"),)


@kind
def yielded_whole(site: Site) -> Edits:
    """``yield`` for ``yield from``."""
    if isinstance(site.node, ast.YieldFrom):
        start = site.source.span(site.node)[0]
        yield (Edit(start, site.source.span(site.node.value)[0], "yield "),)


def _blocks(node: ast.AST) -> Iterator[list[ast.stmt]]:
    for name in ("body", "orelse", "finalbody"):
        block = getattr(node, name, None)
        if isinstance(block, list) and block and isinstance(block[0], ast.stmt):
            yield block


def _can_be_dropped(site: Site, statement: ast.stmt) -> bool:
    if isinstance(statement, ast.AugAssign):
        return True
    if isinstance(statement, ast.Expr):
        whole = isinstance(statement.value, ast.Call | ast.Yield | ast.YieldFrom)
        return whole and not only_tells(statement)
    if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
        return False
    target = statement.targets[0]
    if isinstance(target, ast.Attribute | ast.Subscript):
        return True
    return isinstance(target, ast.Name) and target.id in _bound_before(site, statement.lineno)


def _bound_before(site: Site, line: int) -> set[str]:
    """Names that the function has given a value before a line."""
    arguments = site.function.node.args
    names = {a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}
    return names | {
        node.id
        for node in ast.walk(site.function.node)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.lineno < line
    }


def _without(site: Site, block: list[ast.stmt], statement: ast.stmt) -> Edits:
    """The block without one of its statements; `pass` where it was the only one."""
    source = site.source
    if not _whole_lines(site, statement):
        return
    documented = isinstance(block[0], ast.Expr) and isinstance(block[0].value, ast.Constant)
    if len(block) - documented == 1 and not documented:
        yield (Edit(*source.span(statement), "pass"),)
    else:
        end = source.line_start((statement.end_lineno or statement.lineno) + 1)
        yield (Edit(source.line_start(statement.lineno), end, ""),)


def _whole_lines(site: Site, statement: ast.stmt) -> bool:
    """Whether nothing but comments shares the lines of a statement."""
    source = site.source
    start, end = source.span(statement)
    before = source.data[source.line_start(statement.lineno) : start]
    line = source.line_start((statement.end_lineno or statement.lineno) + 1)
    after = source.data[end:line].strip()
    return not before.strip() and (not after or after.startswith(b"#"))


def _line_end(site: Site) -> str:
    return "\r\n" if b"\r\n" in site.source.data else "\n"
