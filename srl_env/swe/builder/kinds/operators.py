"""Bugs in expressions: operators, conditions, constants, indices."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Final

from srl_env.swe.builder.kinds.kind import Edits, kind, table
from srl_env.swe.builder.source import Edit, Site

# {class of an operator: its text, what is written for it}
_COMPARED: Final = table("Lt < <= >; LtE <= <; Gt > >= <; GtE >= >; Eq == !=; NotEq != ==") | {
    "In": ("in", "not in"),
    "NotIn": ("not in", "in"),
    "Is": ("is", "is not"),
    "IsNot": ("is not", "is"),
}
_CALCULATED: Final = table(
    "Add + -; Sub - +; Mult * + /; Div / // *; FloorDiv // / %; Mod % //; Pow ** *;"
    "LShift << >>; RShift >> <<; BitAnd & |; BitOr | &; BitXor ^ |"
)
_OTHER_INDEX: Final = {"0": ("-1", "1"), "1": ("0", "2"), "-1": ("0", "-2"), "2": ("1",)}
_OTHER_MARK = {",": ";", ";": ",", ".": ",", ":": ";", "-": "_", "_": "-", "/": "-", " ": "  "}
_NO_NUMBERS = (ast.JoinedStr, ast.List, ast.Tuple, ast.Dict, ast.ListComp)
_SIMPLE = (ast.Name, ast.Constant, ast.Call, ast.Attribute, ast.Subscript)
_ENCLOSING = (ast.If, ast.While, ast.Return, ast.Assign, ast.Expr, ast.keyword)


@kind(ast.Compare)
def comparison(site: Site, node: ast.Compare) -> Edits:
    """``<`` for ``<=``, ``==`` for ``!=``, ``in`` for ``not in`` …"""
    operands = itertools.pairwise([node.left, *node.comparators])
    for operator, (left, right) in zip(node.ops, operands, strict=True):
        yield from _operators(site, left, right, _COMPARED[type(operator).__name__])


@kind(ast.BinOp, ast.AugAssign)
def arithmetic(site: Site, node: ast.BinOp | ast.AugAssign) -> Edits:
    """``+`` for ``-``, ``//`` for ``/``, ``-=`` for ``+=`` …"""
    texts = _CALCULATED.get(type(node.op).__name__, ())
    if isinstance(node, ast.AugAssign):
        if not _is_no_number(node.value):
            changed = [f"{text}=" for text in texts]
            yield from _operators(site, node.target, node.value, changed)
    elif not any(map(_is_no_number, (node.left, node.right))):
        yield from _operators(site, node.left, node.right, texts)


@kind(ast.BoolOp)
def boolean(site: Site, node: ast.BoolOp) -> Edits:
    """``and`` for ``or``, and the reverse."""
    texts = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
    for left, right in itertools.pairwise(node.values):
        yield from _operators(site, left, right, texts)


@kind(ast.BoolOp, ast.BinOp)
def dropped_operand(site: Site, node: ast.BoolOp | ast.BinOp) -> Edits:
    """One of two conditions, or a summand, is missing."""
    if isinstance(node, ast.BoolOp):
        for value in node.values if len(node.values) == 2 else ():
            yield _keep(site, node, value)
    elif isinstance(node.op, ast.Add | ast.Sub):
        yield _keep(site, node, node.left)


@kind(ast.If, ast.While, ast.IfExp, ast.comprehension)
def negated_condition(
    site: Site, node: ast.If | ast.While | ast.IfExp | ast.comprehension
) -> Edits:
    """A reversed condition: of if, while, ``… if … else``, comprehensions."""
    for test in node.ifs if isinstance(node, ast.comprehension) else [node.test]:
        if not isinstance(test, ast.UnaryOp | ast.Constant | ast.Compare | ast.NamedExpr):
            text = site.source.of(test)
            simple = isinstance(test, _SIMPLE) or " " not in text
            yield site.replace(test, f"not {text}" if simple else f"not ({text})")


@kind(ast.UnaryOp)
def removed_not(site: Site, node: ast.UnaryOp) -> Edits:
    """``not`` is missing."""
    if isinstance(node.op, ast.Not):
        yield _keep(site, node, node.operand)


@kind(ast.UnaryOp)
def removed_sign(site: Site, node: ast.UnaryOp) -> Edits:
    """A minus before an expression is missing."""
    if isinstance(node.op, ast.USub) and not isinstance(node.operand, ast.Constant):
        yield _keep(site, node, node.operand)


@kind(ast.Call, ast.BinOp)
def off_by_one(site: Site, node: ast.Call | ast.BinOp) -> Edits:
    """A bound or a length is one too large or too small."""
    if isinstance(node, ast.BinOp):
        one = isinstance(node.right, ast.Constant) and node.right.value == 1
        if one and isinstance(node.op, ast.Add | ast.Sub):
            yield _keep(site, node, node.left)
    elif isinstance(node.func, ast.Name) and not node.keywords:
        if node.func.id == "range" and len(node.args) in (1, 2):
            stop, text = node.args[-1], site.source.of(node.args[-1])
            if not isinstance(stop, ast.Starred | ast.Constant):
                yield from site.replacements(stop, f"{text} - 1", f"{text} + 1")
                if len(node.args) == 1:
                    yield site.replace(stop, f"1, {text}")
        if node.func.id == "len":
            within = isinstance(site.parent, ast.BinOp | ast.UnaryOp | ast.Attribute)
            text = f"{site.source.of(node)} - 1"
            yield site.replace(node, f"({text})" if within else text)


@kind(ast.Constant)
def wrong_constant(site: Site, node: ast.Constant) -> Edits:
    """Another number, truth value or text."""
    if not isinstance(site.parent, ast.FunctionDef | ast.AsyncFunctionDef | ast.arguments):
        yield from site.replacements(node, *other_constants(node, site.source.of(node)))


@kind(ast.Subscript)
def wrong_index(site: Site, node: ast.Subscript) -> Edits:
    """The wrong item, or a slice with a wrong end."""
    chosen = node.slice
    if isinstance(chosen, ast.UnaryOp | ast.Constant):
        yield from site.replacements(chosen, *_OTHER_INDEX.get(site.source.of(chosen), ()))
    elif isinstance(chosen, ast.Slice):
        for bound in filter(None, (chosen.lower, chosen.upper, chosen.step)):
            yield _without_bound(site, chosen, bound)
            if bound is not chosen.step and not isinstance(bound, ast.Constant | ast.UnaryOp):
                text = site.source.of(bound)
                yield from site.replacements(bound, f"{text} + 1", f"{text} - 1")


@kind(ast.BinOp)
def swapped_operands(site: Site, node: ast.BinOp) -> Edits:
    """``b - a`` for ``a - b``; only where the order matters."""
    matters = isinstance(node.op, ast.Sub | ast.Div | ast.FloorDiv | ast.Mod | ast.Pow)
    if matters and not any(map(_is_no_number, (node.left, node.right))):
        yield site.swap(node.left, node.right)


@kind(ast.IfExp)
def swapped_choice(site: Site, node: ast.IfExp) -> Edits:
    """``b if x else a`` for ``a if x else b``."""
    yield site.swap(node.body, node.orelse)


@kind(ast.Name)
def wrong_variable(site: Site, node: ast.Name) -> Edits:
    """Another parameter of the function."""
    called = isinstance(site.parent, ast.Call) and site.parent.func is node
    if isinstance(node.ctx, ast.Load) and not called and node.id in site.parameters:
        for name in site.parameters:
            if name not in (node.id, "self", "cls"):
                yield site.replace(node, name)


def other_constants(node: ast.Constant, text: str) -> Iterator[str]:
    """Source texts of constants that someone might have written instead."""
    value = node.value
    if isinstance(value, bool):
        yield str(not value)
    elif isinstance(value, int) and text.isdecimal():
        yield str(value + 1)
        if value > 0:
            yield str(value - 1)
        if value >= 10:
            yield str(value * 10)
    elif isinstance(value, float):
        yield repr(value * 10) if value else "1.0"
        if value:
            yield repr(value / 2)
    elif isinstance(value, str) and 0 < len(value) <= 20 and text[1:-1] == value:
        quote = text[-1]
        yield from (f"{quote}{other}{quote}" for other in _other_texts(value))


def _other_texts(value: str) -> Iterator[str]:
    if value.strip() != value:
        yield value.strip()
    if value != value.swapcase() and value.isalpha():
        yield value.upper() if value != value.upper() else value.lower()
    if len(value) > 1:
        yield value[:-1]
    elif not value.isalnum():
        yield _OTHER_MARK.get(value, "")


def _operators(site: Site, left: ast.AST, right: ast.AST, texts: Sequence[str]) -> Edits:
    """The operator between two nodes, texts[0], as each of the other texts."""
    start, end = site.source.span(left)[1], site.source.span(right)[0]
    gap = site.source.data[start:end].decode()
    if not texts:
        return
    operator = r"[\s\\]+".join(map(re.escape, texts[0].split()))
    found = re.fullmatch(rf"[\s()\\]*({operator})[\s()\\]*", gap)
    if found:
        for other in texts[1:]:
            yield site.edit(start + found.start(1), start + found.end(1), other)


def _without_bound(site: Site, chosen: ast.Slice, bound: ast.expr) -> tuple[Edit, ...]:
    """A slice without one of its bounds, and without the space beside that."""
    (start, end), data = site.source.span(bound), site.source.data
    if bound is chosen.lower and data[end : end + 2] == b" :":
        end += 1
    elif data[start - 2 : start] == b": ":
        start -= 1
    return site.edit(start, end)


def _keep(site: Site, node: ast.expr, kept: ast.expr) -> tuple[Edit, ...]:
    """One operand instead of the whole; brackets around it only where it needs them."""
    text, (start, end) = site.source.of(kept), site.source.span(node)
    data = site.source.data
    before = data[: max(0, start - 1)][-1:].decode("latin-1")
    bracketed = data[max(0, start - 1) : start] + data[end : end + 1] == b"()"
    if bracketed and isinstance(kept, _SIMPLE) and not (before.isalnum() or before in "_)]\"'"):
        return site.edit(start - 1, end + 1, text)
    if not (bracketed or isinstance(kept, _SIMPLE) or isinstance(site.parent, _ENCLOSING)):
        text = f"({text})"
    return site.edit(start, end, text)


def _is_no_number(node: ast.AST) -> bool:
    return isinstance(node, _NO_NUMBERS) or (
        isinstance(node, ast.Constant) and not isinstance(node.value, int | float)
    )
