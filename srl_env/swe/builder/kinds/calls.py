"""Bugs in calls and signatures: arguments, defaults, the wrong method."""

from __future__ import annotations

import ast
import itertools
from typing import Final

from srl_env.swe.builder.kinds.kind import Edits, kind, table
from srl_env.swe.builder.kinds.operators import other_constants
from srl_env.swe.builder.source import FunctionNode, Site

# {name: what is written for it}
_METHODS: Final = table(
    "append extend appendleft; appendleft append; extend append; startswith endswith;"
    "endswith startswith; lower upper casefold; upper lower; strip lstrip rstrip;"
    "lstrip rstrip strip; rstrip lstrip strip; split rsplit; rsplit split; partition rpartition;"
    "rpartition partition; find rfind; rfind find; ljust rjust; rjust ljust; add discard;"
    "discard add; union intersection; intersection union;"
    "difference intersection symmetric_difference; issubset issuperset; issuperset issubset;"
    "keys values; values keys; popleft pop; setdefault get; update setdefault; isdigit isalnum;"
    "isalpha isalnum; isalnum isalpha; isupper islower; title capitalize; capitalize title;"
    "floor ceil; ceil floor; match search; fullmatch match; search match;"
    "bisect_left bisect_right; bisect_right bisect_left; heappush heappop"
)
_FUNCTIONS: Final = table(
    "min max; max min; any all; all any; int round; round int; floor ceil; ceil floor; list set;"
    "tuple list; bisect_left bisect_right; bisect_right bisect_left"
)
_ERRORS: Final = table(
    "ValueError TypeError; TypeError ValueError; KeyError IndexError; IndexError KeyError;"
    "AttributeError KeyError; ZeroDivisionError ValueError; StopIteration IndexError;"
    "LookupError ValueError"
)
_TRANSPARENT: Final = ("abs", "round", "sorted", "reversed", "list", "dict", "set", "int", "str")
_TIDYING: Final = ("strip", "lower", "upper", "rstrip", "lstrip", "copy", "casefold", "title")
_EXTRAS: Final = {"enumerate": 2, "round": 2, "sum": 2, "get": 2, "split": 2, "range": 3, "pop": 2}


@kind(ast.Call)
def swapped_arguments(site: Site, node: ast.Call) -> Edits:
    """Two neighbouring arguments of a call in the wrong order."""
    for one, other in itertools.pairwise(node.args):
        if not isinstance(one, ast.Starred) and not isinstance(other, ast.Starred):
            yield site.swap(one, other)


@kind(ast.Call)
def missing_keyword(site: Site, node: ast.Call) -> Edits:
    """A keyword argument that is not passed."""
    spans = [site.source.span(part) for part in (node.func, *node.args, *node.keywords)]
    for (_, previous), (start, end) in list(itertools.pairwise(spans))[len(node.args) :]:
        if len(spans) == 2:
            yield site.edit(start, end)
        elif site.source.data[previous:start].strip().startswith(b","):
            yield site.edit(previous, end)


@kind(ast.Call)
def missing_argument(site: Site, node: ast.Call) -> Edits:
    """The last argument of a call that works without it."""
    arguments = node.args
    if not node.keywords and len(arguments) == _EXTRAS.get(_called(node)):
        yield site.edit(site.source.span(arguments[-2])[1], site.source.span(arguments[-1])[1])


@kind(ast.Call)
def changed_method(site: Site, node: ast.Call) -> Edits:
    """``extend`` for ``append``, ``max`` for ``min``, ``endswith`` for ``startswith`` …"""
    if isinstance(node.func, ast.Attribute):
        for other in _METHODS.get(node.func.attr, ()):
            yield site.rename(node.func, other)
    elif isinstance(node.func, ast.Name):
        for other in _FUNCTIONS.get(node.func.id, ()):
            yield site.replace(node.func, other)


@kind(ast.Call)
def removed_call(site: Site, node: ast.Call) -> Edits:
    """A value that is not stripped, copied, sorted or rounded."""
    if isinstance(site.parent, ast.Expr):
        return
    if isinstance(node.func, ast.Name) and node.func.id in _TRANSPARENT and node.args:
        inner = node.args[0]
        if isinstance(inner, ast.Name | ast.Call | ast.Attribute | ast.Subscript):
            yield site.replace(node, site.source.of(inner))
    elif isinstance(node.func, ast.Attribute) and node.func.attr in _TIDYING:
        yield site.replace(node, site.source.of(node.func.value))


@kind(ast.FunctionDef, ast.AsyncFunctionDef)
def wrong_default(site: Site, node: FunctionNode) -> Edits:
    """A parameter with another default."""
    if node is site.function.node:
        for default in (*node.args.defaults, *node.args.kw_defaults):
            if isinstance(default, ast.Constant):
                for text in other_constants(default, site.source.of(default)):
                    yield site.replace(default, text)


@kind(ast.Raise, ast.ExceptHandler)
def wrong_exception(site: Site, node: ast.Raise | ast.ExceptHandler) -> Edits:
    """Another exception is raised or caught."""
    raised = node.exc if isinstance(node, ast.Raise) else node.type
    if isinstance(node, ast.Raise) and isinstance(raised, ast.Call):
        raised = raised.func
    if isinstance(raised, ast.Name):
        for other in _ERRORS.get(raised.id, ()):
            yield site.replace(raised, other)


@kind(ast.Attribute)
def wrong_attribute(site: Site, node: ast.Attribute) -> Edits:
    """Another attribute of the same object that the function uses elsewhere."""
    if not isinstance(node.ctx, ast.Load):
        return
    nodes = list(ast.walk(site.function.node))
    called = {id(other.func) for other in nodes if isinstance(other, ast.Call)}
    if id(node) in called:
        return
    attributes = (n for n in nodes if isinstance(n, ast.Attribute) and id(n) not in called)
    owner = ast.dump(node.value)
    others = {other.attr for other in attributes if ast.dump(other.value) == owner}
    for name in sorted(others - {node.attr}):
        yield site.rename(node, name)


def _called(node: ast.Call) -> str:
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""
