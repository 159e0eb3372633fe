"""A failing test as a script of its own: what it does up to its failing assertion, then a print.

Only tests that need nothing but imports, helpers of their module and parameters can be written
so. What the test is called, and where it lies, is nowhere in the script.
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
    """A test that is no script of its own."""


def test_script(project: Project, test: str, line: int) -> str | None:
    """The script for a test that failed at a line of its file; None where there is none."""
    path, _, name = test.partition("::")
    names = name.partition("[")[0].split("::")
    try:
        text = _text(project.checkout.tree / path)
        function = _find(ast.parse(text), names)
        body = list(_body(function, line))
        used = names_in("\n".join(map(ast.unparse, body)))
        given = _parameters(function, project.parameters.get(test, {}))
        head = [node for node in given if _sets(node, used)]
        script = written_script(text, [ast.unparse(n) for n in (*head, *body)], _check_usable)
    except (_CannotError, SyntaxError, UnicodeDecodeError, RecursionError):
        return None
    return None if names[-1] in script or "self" in names_in(script) else script


def assertion_cases(project: Project) -> Iterator[tuple[str, str, str]]:
    """What the tests compare with a value, as oracle cases: name, setup, expression.

    At most PER_TEST of a test; only of tests that can be written without fixtures.
    """
    for test in project.tests:
        path, _, name = test.partition("::")
        names = name.partition("[")[0].split("::")
        try:
            text = _text(project.checkout.tree / path)
            function = _find(ast.parse(text), names)
            head = list(_parameters(function, project.parameters.get(test, {})))
            compared = list(_compared(function))
        except (_CannotError, SyntaxError, UnicodeDecodeError, RecursionError):
            continue
        for number, (before, value) in enumerate(compared[-PER_TEST:], 1):
            lines = [ast.unparse(node) for node in (*head, *before)]
            expression = ast.unparse(value)
            try:
                script = written_script(text, [*lines, expression], _check_usable)
            except _CannotError:
                continue
            if "self" not in names_in(script):
                yield f"{test} {number}", script.removesuffix(f"{expression}\n"), expression


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


test_script.__test__ = False  # type: ignore[attr-defined]  # pytest looks at names


@functools.lru_cache(maxsize=64)
def _text(path: Path) -> str:
    return path.read_bytes().decode()


def _find(tree: ast.Module, names: Sequence[str]) -> ast.FunctionDef:
    scope: ast.AST = tree
    for name in names:
        scope = next(
            (n for n in getattr(scope, "body", []) if getattr(n, "name", None) == name), ast.Pass()
        )
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
    """Whether an assignment is to one of these names: a script sets no more than it uses."""
    return isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) in names


def _body(function: ast.FunctionDef, line: int) -> Iterator[ast.stmt]:
    """The statements up to the failing one, which prints what it would have asserted."""
    for statement in function.body:
        last = statement.end_lineno or statement.lineno
        if last < line:
            if not _is_assertion(statement) and not _is_text(statement):
                yield statement
        elif statement.lineno <= line:
            yield from _telling(statement)
            return
    raise _CannotError


def _telling(statement: ast.stmt) -> list[ast.stmt]:
    if isinstance(statement, ast.With) and _is_raises(statement.items[0].context_expr):
        body = list(statement.body)
        if isinstance(body[-1], ast.Expr):
            body[-1] = _printed(body[-1].value)
        return body
    changed = _Telling().visit(ast.parse(ast.unparse(statement)).body[0])
    return [ast.fix_missing_locations(changed)]


class _Telling(ast.NodeTransformer):
    """Makes assertions print what they look at."""

    def visit_Assert(self, node: ast.Assert) -> ast.stmt:
        return _printed(_looked_at(node.test))

    def visit_Expr(self, node: ast.Expr) -> ast.stmt:
        if _is_assertion(node) and isinstance(node.value, ast.Call):
            if not node.value.args or "aises" in ast.unparse(node.value.func):
                raise _CannotError
            return _printed(node.value.args[0])
        return node

    def visit_With(self, node: ast.With) -> ast.stmt:
        if _is_raises(node.items[0].context_expr):
            raise _CannotError
        self.generic_visit(node)
        return node


def _looked_at(test: ast.expr) -> ast.expr:
    """What is compared with a known value, or the whole of what is asserted."""
    if not isinstance(test, ast.Compare) or len(test.ops) != 1:
        return test
    known = isinstance(test.ops[0], ast.Eq | ast.Is) and not isinstance(test.left, ast.Constant)
    return test.left if known else test


def _printed(value: ast.expr) -> ast.stmt:
    shown = ast.Call(ast.Name("repr", ast.Load()), [value], [])
    statement = ast.Expr(ast.Call(ast.Name("print", ast.Load()), [shown], []))
    return ast.fix_missing_locations(statement)


def _is_raises(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
        ("raises", "assertRaises")
    )


def _is_assertion(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Assert):
        return True
    if isinstance(statement, ast.With):
        return _is_raises(statement.items[0].context_expr)
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Call)
        and isinstance(statement.value.func, ast.Attribute)
        and statement.value.func.attr.startswith("assert")
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
        modules = [node.module or ""]
        if node.level or not node.module:
            raise _CannotError
    if any(module.partition(".")[0] in _TESTING or "test" in module for module in modules):
        raise _CannotError
