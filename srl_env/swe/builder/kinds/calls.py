"""Bugs in calls and signatures: arguments, defaults, the wrong method."""

from __future__ import annotations

import ast
import itertools
from typing import Final

from srl_env.swe.builder.kinds.kind import Edits, kind
from srl_env.swe.builder.kinds.operators import other_constants
from srl_env.swe.builder.source import Edit, FunctionNode, Site

_METHODS: Final = {
    "append": ("extend", "appendleft"),
    "appendleft": ("append",),
    "extend": ("append",),
    "startswith": ("endswith",),
    "endswith": ("startswith",),
    "lower": ("upper", "casefold"),
    "upper": ("lower",),
    "strip": ("lstrip", "rstrip"),
    "lstrip": ("rstrip", "strip"),
    "rstrip": ("lstrip", "strip"),
    "split": ("rsplit",),
    "rsplit": ("split",),
    "partition": ("rpartition",),
    "rpartition": ("partition",),
    "find": ("rfind",),
    "rfind": ("find",),
    "ljust": ("rjust",),
    "rjust": ("ljust",),
    "add": ("discard",),
    "discard": ("add",),
    "union": ("intersection",),
    "intersection": ("union",),
    "difference": ("intersection", "symmetric_difference"),
    "issubset": ("issuperset",),
    "issuperset": ("issubset",),
    "keys": ("values",),
    "values": ("keys",),
    "popleft": ("pop",),
    "setdefault": ("get",),
    "update": ("setdefault",),
    "isdigit": ("isalnum",),
    "isalpha": ("isalnum",),
    "isalnum": ("isalpha",),
    "isupper": ("islower",),
    "title": ("capitalize",),
    "capitalize": ("title",),
    "floor": ("ceil",),
    "ceil": ("floor",),
    "match": ("search",),
    "fullmatch": ("match",),
    "search": ("match",),
    "bisect_left": ("bisect_right",),
    "bisect_right": ("bisect_left",),
    "heappush": ("heappop",),
}
_FUNCTIONS: Final = {
    "min": ("max",),
    "max": ("min",),
    "any": ("all",),
    "all": ("any",),
    "int": ("round",),
    "round": ("int",),
    "floor": ("ceil",),
    "ceil": ("floor",),
    "list": ("set",),
    "tuple": ("list",),
    "bisect_left": ("bisect_right",),
    "bisect_right": ("bisect_left",),
}
_TRANSPARENT: Final = ("abs", "round", "sorted", "reversed", "list", "dict", "set", "int", "str")
_TIDYING: Final = ("strip", "lower", "upper", "rstrip", "lstrip", "copy", "casefold", "title")
_EXTRAS: Final = {"enumerate": 2, "round": 2, "sum": 2, "get": 2, "split": 2, "range": 3, "pop": 2}
_ERRORS: Final = {
    "ValueError": "TypeError",
    "TypeError": "ValueError",
    "KeyError": "IndexError",
    "IndexError": "KeyError",
    "AttributeError": "KeyError",
    "ZeroDivisionError": "ValueError",
    "StopIteration": "IndexError",
    "LookupError": "ValueError",
}


@kind
def swapped_arguments(site: Site) -> Edits:
    """Two neighbouring arguments of a call in the wrong order."""
    if isinstance(site.node, ast.Call):
        arguments = site.node.args
        for one, other in itertools.pairwise(arguments):
            if not isinstance(one, ast.Starred) and not isinstance(other, ast.Starred):
                texts = site.source.of(one), site.source.of(other)
                yield site.replace(one, texts[1]), site.replace(other, texts[0])


@kind
def missing_keyword(site: Site) -> Edits:
    """A keyword argument that is not passed on."""
    if isinstance(site.node, ast.Call):
        before: list[ast.expr] = [site.node.func, *site.node.args]
        ends = [site.source.span(node)[1] for node in before]
        ends += [site.source.span(keyword)[1] for keyword in site.node.keywords]
        for number, keyword in enumerate(site.node.keywords):
            previous = ends[len(before) + number - 1]
            start, end = site.source.span(keyword)
            if len(ends) > 2:
                if site.source.data[previous:start].strip().startswith(b","):
                    yield (Edit(previous, end, ""),)
            else:
                yield (Edit(start, end, ""),)


@kind
def missing_argument(site: Site) -> Edits:
    """The last argument of a call that works without it."""
    if isinstance(site.node, ast.Call) and not site.node.keywords:
        arguments = site.node.args
        if len(arguments) >= 2 and len(arguments) == _EXTRAS.get(_called(site.node)):
            yield (
                Edit(site.source.span(arguments[-2])[1], site.source.span(arguments[-1])[1], ""),
            )


@kind
def changed_method(site: Site) -> Edits:
    """``extend`` for ``append``, ``max`` for ``min``, ``endswith`` for ``startswith`` …"""
    if not isinstance(site.node, ast.Call):
        return
    called = site.node.func
    if isinstance(called, ast.Attribute):
        end = site.source.span(called)[1]
        for other in _METHODS.get(called.attr, ()):
            yield (Edit(end - len(called.attr.encode()), end, other),)
    elif isinstance(called, ast.Name):
        for other in _FUNCTIONS.get(called.id, ()):
            yield (site.replace(called, other),)


@kind
def removed_call(site: Site) -> Edits:
    """What a call would have tidied, copied, sorted or rounded is used as it is."""
    node = site.node
    if not isinstance(node, ast.Call) or isinstance(site.parent, ast.Expr):
        return
    if isinstance(node.func, ast.Name) and node.func.id in _TRANSPARENT and node.args:
        inner = node.args[0]
        if isinstance(inner, ast.Name | ast.Call | ast.Attribute | ast.Subscript):
            yield (site.replace(node, site.source.of(inner)),)
    elif isinstance(node.func, ast.Attribute) and node.func.attr in _TIDYING:
        yield (site.replace(node, site.source.of(node.func.value)),)


@kind
def wrong_default(site: Site) -> Edits:
    """A parameter whose default is another one."""
    if isinstance(site.node, FunctionNode) and site.node is site.function.node:
        given = site.node.args
        for default in (*given.defaults, *given.kw_defaults):
            if isinstance(default, ast.Constant):
                for text in other_constants(default, site.source.of(default)):
                    yield (site.replace(default, text),)


@kind
def wrong_exception(site: Site) -> Edits:
    """Another exception is raised, or caught, than is said."""
    raised: ast.AST | None = None
    if isinstance(site.node, ast.Raise):
        raised = site.node.exc.func if isinstance(site.node.exc, ast.Call) else site.node.exc
    elif isinstance(site.node, ast.ExceptHandler):
        raised = site.node.type
    if isinstance(raised, ast.Name) and raised.id in _ERRORS:
        yield (site.replace(raised, _ERRORS[raised.id]),)


@kind
def wrong_attribute(site: Site) -> Edits:
    """Another attribute of the same object that the function uses elsewhere."""
    node = site.node
    if not isinstance(node, ast.Attribute) or not isinstance(node.ctx, ast.Load):
        return
    if isinstance(site.parent, ast.Call) and site.parent.func is node:
        return
    owner = ast.dump(node.value)
    called = {id(n.func) for n in ast.walk(site.function.node) if isinstance(n, ast.Call)}
    others = {
        other.attr
        for other in ast.walk(site.function.node)
        if isinstance(other, ast.Attribute)
        and id(other) not in called
        and ast.dump(other.value) == owner
    }
    end = site.source.span(node)[1]
    for name in sorted(others - {node.attr}):
        yield (Edit(end - len(node.attr.encode()), end, name),)


def _called(node: ast.Call) -> str:
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""
