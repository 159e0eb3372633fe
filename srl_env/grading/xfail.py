"""Which tests say themselves, in their file, that they may be expected to fail.

Read here, from the task's own file: in the process that runs the tests, code under test could
put the mark there.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

_SAID: Final = ("xfail", "expectedFailure")


def expects_failure(test: str, source: bytes) -> bool:
    """Whether a test, given by its pytest id, has a mark ``xfail`` or unittest's decorator.

    On itself, its class or its module (``pytestmark``), or on one of its parameters.
    source: of the file that it is in.
    """
    name = test.partition("::")[2].partition("[")[0]
    return name in _marked(ast.parse(source), "", marked=False)


def _marked(node: ast.AST, prefix: str, *, marked: bool) -> Iterator[str]:
    children = list(ast.iter_child_nodes(node))
    marked = marked or any(_is_mark(child) and _says_so(child) for child in children)
    for child in children:
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            if marked or any(map(_says_so, child.decorator_list)):
                yield f"{prefix}{child.name}"
        elif isinstance(child, ast.ClassDef):
            inside = marked or any(map(_says_so, child.decorator_list))
            yield from _marked(child, f"{prefix}{child.name}::", marked=inside)
        elif isinstance(child, ast.stmt | ast.ExceptHandler):
            yield from _marked(child, prefix, marked=marked)


def _is_mark(node: ast.AST) -> bool:
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AnnAssign | ast.AugAssign):
        targets = [node.target]
    return any(isinstance(target, ast.Name) and target.id == "pytestmark" for target in targets)


def _says_so(node: ast.AST) -> bool:
    return any(
        (isinstance(part, ast.Attribute) and part.attr in _SAID)
        or (isinstance(part, ast.Name) and part.id in _SAID)
        for part in ast.walk(node)
    )
