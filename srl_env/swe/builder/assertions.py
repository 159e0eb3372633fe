"""The assertions of tests, as scripts and oracle cases.

Only tests that need nothing but imports, helpers of their module and parameters can be used. A
script has neither the name of its test nor that of its file.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from srl_env.swe.builder.project import Project
from srl_env.swe.builder.script import names_in, written_script
from srl_env.swe.builder.source import FunctionNode

PER_TEST: Final = 2
_TESTING = frozenset({"pytest", "unittest", "__future__", "hypothesis", "mock"})


class _CannotError(Exception):
    """A test that cannot be a script."""


_UNUSABLE = (_CannotError, SyntaxError, UnicodeDecodeError, RecursionError)


def failure_script(project: Project, test: str, line: int) -> str | None:
    """The script for a test that failed at a line of its file; None where there is none.

    It does what the test does up to the failing assertion, and prints what that looks at.
    """
    try:
        text, function, parameters = _parsed(project, test)
        body = list(_body(function, line))
        used = names_in("\n".join(map(ast.unparse, body)))
        head = [node for node in parameters if _sets(node, used)]
        script = _script(text, [ast.unparse(node) for node in (*head, *body)])
    except _UNUSABLE:
        return None
    return None if function.name in script else script


def assertion_cases(project: Project) -> Iterator[tuple[str, str, str]]:
    """What the tests compare with a value, as oracle cases: name, setup, expression.

    At most PER_TEST of a test.
    """
    for test in project.tests:
        try:
            text, function, parameters = _parsed(project, test)
            compared = list(_compared(function))[-PER_TEST:]
        except _UNUSABLE:
            continue
        for number, (before, value) in enumerate(compared, 1):
            lines, expression = map(ast.unparse, (*parameters, *before)), ast.unparse(value)
            try:
                script = _script(text, [*lines, expression])
            except _CannotError:
                continue
            yield f"{test} {number}", script.removesuffix(f"{expression}\n"), expression


def _parsed(project: Project, test: str) -> tuple[str, ast.FunctionDef, list[ast.stmt]]:
    """The text of a test's file, its function, and its parameters as assignments."""
    path, _, name = test.partition("::")
    text = _text(project.checkout.tree / path)
    function = _find(ast.parse(text), name.partition("[")[0].split("::"))
    return text, function, list(_parameters(function, project.parameters.get(test, {})))


def _script(text: str, lines: Sequence[str]) -> str:
    script = written_script(text, lines, _check_usable)
    if "self" in names_in(script):
        raise _CannotError
    return script


def _compared(function: ast.FunctionDef) -> Iterator[tuple[list[ast.stmt], ast.expr]]:
    """Each value that an assertion of the body compares, and the statements before it."""
    before: list[ast.stmt] = []
    for statement in function.body:
        if not _is_assertion(statement):
            if not _is_text(statement):
                before = [*before, statement]
        elif isinstance(statement, ast.Assert):
            yield before, _looked_at(statement.test)
        elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
            called = statement.value
            if "Equal" in ast.unparse(called.func) and called.args:
                yield before, called.args[0]


@functools.lru_cache(maxsize=64)
def _text(path: Path) -> str:
    return path.read_bytes().decode()


def _find(tree: ast.Module, names: Sequence[str]) -> ast.FunctionDef:
    scope: ast.AST = tree
    for name in names:
        body: list[ast.AST] = getattr(scope, "body", [])
        scope = next((n for n in body if getattr(n, "name", None) == name), ast.Pass())
    if not isinstance(scope, ast.FunctionDef):
        raise _CannotError
    return scope


def _parameters(function: ast.FunctionDef, texts: Mapping[str, str]) -> Iterator[ast.stmt]:
    """Assignments of a test's parameters; raises _CannotError for fixtures."""
    for argument in function.args.args:
        if argument.arg in ("self", "cls"):
            continue
        if not texts.get(argument.arg):
            raise _CannotError
        yield ast.parse(f"{argument.arg} = {texts[argument.arg]}").body[0]


def _sets(statement: ast.stmt, names: Collection[str]) -> bool:
    """Whether an assignment is to one of these names."""
    return isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) in names


def _body(function: ast.FunctionDef, line: int) -> Iterator[ast.stmt]:
    """The statements up to the failing one, which prints instead of asserting."""
    for statement in function.body:
        if (statement.end_lineno or statement.lineno) < line:
            if not _is_assertion(statement) and not _is_text(statement):
                yield statement
        elif statement.lineno <= line:
            yield from _printing(statement)
            return
    raise _CannotError


def _printing(statement: ast.stmt) -> list[ast.stmt]:
    if isinstance(statement, ast.With) and _is_raises(statement):
        body = list(statement.body)
        if isinstance(body[-1], ast.Expr):
            body[-1] = _printed(body[-1].value)
        return body
    changed = _Printing().visit(ast.parse(ast.unparse(statement)).body[0])
    return [ast.fix_missing_locations(changed)]


class _Printing(ast.NodeTransformer):
    """Turns assertions into prints of what they look at."""

    def visit_Assert(self, node: ast.Assert) -> ast.stmt:
        return _printed(_looked_at(node.test))

    def visit_Expr(self, node: ast.Expr) -> ast.stmt:
        if _is_assertion(node) and isinstance(node.value, ast.Call):
            if not node.value.args or "aises" in ast.unparse(node.value.func):
                raise _CannotError
            return _printed(node.value.args[0])
        return node

    def visit_With(self, node: ast.With) -> ast.stmt:
        if _is_raises(node):
            raise _CannotError
        self.generic_visit(node)
        return node


def _looked_at(test: ast.expr) -> ast.expr:
    """What is compared with a known value, or the whole assertion."""
    if not isinstance(test, ast.Compare) or len(test.ops) != 1:
        return test
    known = isinstance(test.ops[0], ast.Eq | ast.Is) and not isinstance(test.left, ast.Constant)
    return test.left if known else test


def _printed(value: ast.expr) -> ast.stmt:
    return ast.parse(f"print(repr({ast.unparse(value)}))").body[0]


def _is_raises(statement: ast.With) -> bool:
    context = statement.items[0].context_expr
    return isinstance(context, ast.Call) and ast.unparse(context.func).endswith(
        ("raises", "assertRaises")
    )


def _is_assertion(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        function = statement.value.func
        return isinstance(function, ast.Attribute) and function.attr.startswith("assert")
    return isinstance(statement, ast.Assert) or (
        isinstance(statement, ast.With) and _is_raises(statement)
    )


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _check_usable(node: ast.stmt) -> None:
    """Raises _CannotError for what a script outside the tests cannot have."""
    if isinstance(node, FunctionNode) and (node.decorator_list or "test" in node.name):
        raise _CannotError
    modules: list[str] = []
    if isinstance(node, ast.Import):
        modules = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        if node.level or not node.module:
            raise _CannotError
        modules = [node.module]
    if any(module.partition(".")[0] in _TESTING or "test" in module for module in modules):
        raise _CannotError
