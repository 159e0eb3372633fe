"""Bugs in expressions: operators, conditions, constants, indices."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator, Mapping
from typing import Final

from srl_env.swe.builder.kinds.kind import Edits, kind
from srl_env.swe.builder.source import Edit, Site

_COMPARED: Final[Mapping[type[ast.cmpop], tuple[str, tuple[str, ...]]]] = {
    ast.Lt: ("<", ("<=", ">")),
    ast.LtE: ("<=", ("<",)),
    ast.Gt: (">", (">=", "<")),
    ast.GtE: (">=", (">",)),
    ast.Eq: ("==", ("!=",)),
    ast.NotEq: ("!=", ("==",)),
    ast.In: ("in", ("not in",)),
    ast.NotIn: ("not in", ("in",)),
    ast.Is: ("is", ("is not",)),
    ast.IsNot: ("is not", ("is",)),
}
_CALCULATED: Final[Mapping[type[ast.operator], tuple[str, tuple[str, ...]]]] = {
    ast.Add: ("+", ("-",)),
    ast.Sub: ("-", ("+",)),
    ast.Mult: ("*", ("+", "/")),
    ast.Div: ("/", ("//", "*")),
    ast.FloorDiv: ("//", ("/", "%")),
    ast.Mod: ("%", ("//",)),
    ast.Pow: ("**", ("*",)),
    ast.LShift: ("<<", (">>",)),
    ast.RShift: (">>", ("<<",)),
    ast.BitAnd: ("&", ("|",)),
    ast.BitOr: ("|", ("&",)),
    ast.BitXor: ("^", ("|",)),
}
_NO_NUMBERS = (ast.JoinedStr, ast.List, ast.Tuple, ast.Dict, ast.ListComp)


@kind
def comparison(site: Site) -> Edits:
    """``<`` for ``<=``, ``==`` for ``!=``, ``in`` for ``not in`` …"""
    if isinstance(site.node, ast.Compare):
        left = site.node.left
        for operator, right in zip(site.node.ops, site.node.comparators, strict=True):
            text, others = _COMPARED[type(operator)]
            yield from _operators(site, left, right, text, others)
            left = right


@kind
def arithmetic(site: Site) -> Edits:
    """``+`` for ``-``, ``//`` for ``/``, ``-=`` for ``+=`` …"""
    node = site.node
    if isinstance(node, ast.BinOp) and type(node.op) in _CALCULATED:
        if not any(map(_is_no_number, (node.left, node.right))):
            text, others = _CALCULATED[type(node.op)]
            yield from _operators(site, node.left, node.right, text, others)
    elif isinstance(node, ast.AugAssign) and not _is_no_number(node.value):
        text, others = _CALCULATED.get(type(node.op), ("", ()))
        changed = [f"{other}=" for other in others]
        yield from _operators(site, node.target, node.value, f"{text}=", changed)


@kind
def boolean(site: Site) -> Edits:
    """``and`` for ``or``, and the other way round."""
    if isinstance(site.node, ast.BoolOp):
        text, other = ("and", "or") if isinstance(site.node.op, ast.And) else ("or", "and")
        values = site.node.values
        for left, right in itertools.pairwise(values):
            yield from _operators(site, left, right, text, (other,))


@kind
def dropped_operand(site: Site) -> Edits:
    """One of several conditions, or a summand, is forgotten."""
    if isinstance(site.node, ast.BoolOp) and len(site.node.values) == 2:
        for value in site.node.values:
            yield (site.replace(site.node, _kept(site, value)),)
    if isinstance(site.node, ast.BinOp) and isinstance(site.node.op, ast.Add | ast.Sub):
        yield (site.replace(site.node, _kept(site, site.node.left)),)


@kind
def negated_condition(site: Site) -> Edits:
    """A condition the wrong way round: of if, while, ``… if … else``, comprehensions."""
    tests: list[ast.expr] = []
    if isinstance(site.node, ast.If | ast.While | ast.IfExp):
        tests = [site.node.test]
    elif isinstance(site.node, ast.comprehension):
        tests = site.node.ifs
    for test in tests:
        if not isinstance(test, ast.UnaryOp | ast.Constant | ast.Compare | ast.NamedExpr):
            text = site.source.of(test)
            yield (site.replace(test, f"not ({text})" if " " in text else f"not {text}"),)


@kind
def removed_not(site: Site) -> Edits:
    """``not`` is forgotten."""
    if isinstance(site.node, ast.UnaryOp) and isinstance(site.node.op, ast.Not):
        yield (site.replace(site.node, _kept(site, site.node.operand)),)


@kind
def removed_sign(site: Site) -> Edits:
    """A minus before something that is no number in the text is forgotten."""
    node = site.node
    if not isinstance(node, ast.UnaryOp) or not isinstance(node.op, ast.USub):
        return
    if not isinstance(node.operand, ast.Constant):
        yield (site.replace(node, _kept(site, node.operand)),)


@kind
def off_by_one(site: Site) -> Edits:
    """A bound or a length is one too large or too small."""
    node = site.node
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        if node.func.id == "range" and len(node.args) in (1, 2):
            stop = node.args[-1]
            if not isinstance(stop, ast.Starred | ast.Constant):
                text = site.source.of(stop)
                yield (site.replace(stop, f"{text} - 1"),)
                yield (site.replace(stop, f"{text} + 1"),)
                if len(node.args) == 1:
                    yield (site.replace(stop, f"1, {text}"),)
        if node.func.id == "len":
            within = isinstance(site.parent, ast.BinOp | ast.UnaryOp | ast.Attribute)
            text = f"{site.source.of(node)} - 1"
            yield (site.replace(node, f"({text})" if within else text),)
    if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Add | ast.Sub):
        return
    if isinstance(node.right, ast.Constant) and node.right.value == 1:
        yield (site.replace(node, _kept(site, node.left)),)


@kind
def wrong_constant(site: Site) -> Edits:
    """Another number, truth value or text."""
    node = site.node
    if isinstance(node, ast.Constant) and not isinstance(
        site.parent, ast.FunctionDef | ast.AsyncFunctionDef | ast.arguments
    ):
        for text in other_constants(node, site.source.of(node)):
            yield (site.replace(node, text),)


@kind
def wrong_index(site: Site) -> Edits:
    """The wrong item, or a slice with a wrong end."""
    if not isinstance(site.node, ast.Subscript):
        return
    chosen = site.node.slice
    if isinstance(chosen, ast.UnaryOp | ast.Constant):
        other = {"0": ("-1", "1"), "1": ("0", "2"), "-1": ("0", "-2"), "2": ("1",)}
        for text in other.get(site.source.of(chosen), ()):
            yield (site.replace(chosen, text),)
    elif isinstance(chosen, ast.Slice):
        for bound in (chosen.lower, chosen.upper):
            if bound is not None:
                yield (Edit(*site.source.span(bound), ""),)
                if not isinstance(bound, ast.Constant | ast.UnaryOp):
                    text = site.source.of(bound)
                    yield (site.replace(bound, f"{text} + 1"),)
                    yield (site.replace(bound, f"{text} - 1"),)
        if chosen.step is not None:
            yield (Edit(*site.source.span(chosen.step), ""),)


@kind
def swapped_operands(site: Site) -> Edits:
    """``b - a`` for ``a - b``; only where the order matters."""
    node = site.node
    if not isinstance(node, ast.BinOp) or any(map(_is_no_number, (node.left, node.right))):
        return
    if isinstance(node.op, ast.Sub | ast.Div | ast.FloorDiv | ast.Mod | ast.Pow):
        yield _swapped(site, node.left, node.right)


@kind
def swapped_choice(site: Site) -> Edits:
    """``b if test else a`` for ``a if test else b``."""
    if isinstance(site.node, ast.IfExp):
        yield _swapped(site, site.node.body, site.node.orelse)


@kind
def wrong_variable(site: Site) -> Edits:
    """Another parameter of the function in place of the one that was meant."""
    node = site.node
    if not isinstance(node, ast.Name) or not isinstance(node.ctx, ast.Load):
        return
    if isinstance(site.parent, ast.Call) and site.parent.func is node:
        return
    arguments = site.function.node.args
    names = [a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    if node.id in names:
        for name in names:
            if name not in (node.id, "self", "cls"):
                yield (site.replace(node, name),)


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
    elif isinstance(value, str) and 0 < len(value) <= 20 and _is_plain(text, value):
        quote = text[-1]
        if value.strip() != value:
            yield f"{quote}{text[1:-1].strip()}{quote}"
        if value != value.swapcase() and value.isalpha():
            changed = value.upper() if value != value.upper() else value.lower()
            yield f"{quote}{changed}{quote}"
        if len(value) > 1:
            yield f"{quote}{text[1:-2]}{quote}"
        elif not value.isalnum():
            yield f"{quote}{_OTHER_MARK.get(value, '')}{quote}"


_OTHER_MARK = {",": ";", ";": ",", ".": ",", ":": ";", "-": "_", "_": "-", "/": "-", " ": "  "}


def _is_plain(text: str, value: str) -> bool:
    return text[0] in "'\"" and text[1:-1] == value


def _operators(
    site: Site, left: ast.AST, right: ast.AST, text: str, others: tuple[str, ...] | list[str]
) -> Edits:
    """The operator between two nodes as each of the others."""
    start, end = site.source.between(left, right)
    gap = site.source.data[start:end].decode()
    words = gap.split()
    if "#" in gap or " ".join(words).strip("() \\") != text:
        return
    at = gap.index(words[next(i for i, word in enumerate(words) if word.strip("()\\"))].strip("()"))
    length = len(gap[at:].rstrip("() \\\r\n\t"))
    for other in others:
        begin = start + len(gap[:at].encode())
        yield (Edit(begin, begin + length, other),)


def _swapped(site: Site, one: ast.AST, other: ast.AST) -> tuple[Edit, ...]:
    texts = site.source.of(one), site.source.of(other)
    return site.replace(one, texts[1]), site.replace(other, texts[0])


def _kept(site: Site, node: ast.expr) -> str:
    """The text of what is left of a node, in brackets where it needs them."""
    text = site.source.of(node)
    simple = (ast.Name, ast.Constant, ast.Call, ast.Attribute, ast.Subscript)
    loose = (ast.If, ast.While, ast.Return, ast.Assign, ast.Expr, ast.keyword)
    return text if isinstance(node, simple) or isinstance(site.parent, loose) else f"({text})"


def _is_no_number(node: ast.AST) -> bool:
    return isinstance(node, _NO_NUMBERS) or (
        isinstance(node, ast.Constant) and not isinstance(node.value, int | float)
    )
