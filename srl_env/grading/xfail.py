"""Tests whose own file marks them as expected to fail.

The mark is read here, from the task's own file. In the process that runs the tests, code under
test could add it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

_NAMES: Final = ("xfail", "expectedFailure")


def expects_failure(test: str, source: bytes) -> bool:
    """Whether a test, given by its pytest id, has a mark ``xfail`` or unittest's decorator.

    On itself, its class or its module (``pytestmark``), or on one of its parameters.
    source: of the file that it is in.
    """
    name = test.partition("::")[2].partition("[")[0]
    return name in _marked(ast.parse(source), "", marked=False)


def _marked(node: ast.AST, prefix: str, *, marked: bool) -> Iterator[str]:
    children = list(ast.iter_child_nodes(node))
    marked = marked or any(_is_mark(child) and _names_it(child) for child in children)
    for child in children:
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            if marked or any(map(_names_it, child.decorator_list)):
                yield f"{prefix}{child.name}"
        elif isinstance(child, ast.ClassDef):
            inside = marked or any(map(_names_it, child.decorator_list))
            yield from _marked(child, f"{prefix}{child.name}::", marked=inside)
        elif isinstance(child, ast.stmt | ast.ExceptHandler):
            yield from _marked(child, prefix, marked=marked)


def _is_mark(node: ast.AST) -> bool:
    if not isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
        return False
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return any(isinstance(target, ast.Name) and target.id == "pytestmark" for target in targets)


def _names_it(node: ast.AST) -> bool:
    names = (getattr(part, "attr", getattr(part, "id", None)) for part in ast.walk(node))
    return any(name in _NAMES for name in names)
