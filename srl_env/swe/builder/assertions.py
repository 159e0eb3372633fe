"""The assertions of tests, as oracle cases and as scripts.

Only tests that need nothing but imports, helpers of their module and parameters can be used. A
script has neither the name of its test nor that of its file.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from srl_env.swe.builder.project import Project
from srl_env.swe.builder.script import names_in, written_script
from srl_env.swe.builder.source import FunctionNode

PER_TEST: Final = 2
_TESTING: Final = frozenset({"pytest", "unittest", "__future__", "hypothesis", "mock"})

_COMPARING: Final = ("Equal", "True", "False", "None")  # unittest's, by their first argument


class _CannotError(Exception):
    """A test that cannot be a script."""


@dataclass(frozen=True)
class _Assertion:
    """A value that a test looks at, and the statements before it. raises: it must raise."""

    before: tuple[ast.stmt, ...]
    value: ast.expr
    lines: range
    raises: bool = False


@dataclass(frozen=True)
class _Test:
    """A test's function, the text of its file, and its parameters as assignments."""

    text: str
    function: ast.FunctionDef
    parameters: dict[str, ast.stmt]


def failure_script(project: Project, test: str, line: int) -> str | None:
    """The script for a test that failed at a line of its file; None where there is none.

    It does what the test does before the failing assertion, and prints what that looks at.
    """
    parsed = _parsed(project, test)
    for found in _assertions(parsed.function) if parsed else ():
        if parsed and line in found.lines:
            script = _script(parsed, found, f"print(repr({ast.unparse(found.value)}))")
            return None if script is None or parsed.function.name in script else script
    return None


def assertion_cases(project: Project) -> Iterator[tuple[str, str, str]]:
    """What the tests compare with a value, as oracle cases: name, setup, expression.

    At most PER_TEST of a test.
    """
    for test in project.tests:
        parsed = _parsed(project, test)
        if parsed is None:
            continue
        compared = [found for found in _assertions(parsed.function) if not found.raises]
        for number, found in enumerate(compared[-PER_TEST:], 1):
            expression = ast.unparse(found.value)
            script = _script(parsed, found, expression)
            if script is not None:
                yield f"{test} {number}", script.removesuffix(f"{expression}\n"), expression


def _parsed(project: Project, test: str) -> _Test | None:
    """None for a test that is no plain function, or that needs fixtures."""
    path, _, name = test.partition("::")
    try:
        text = _text(project.checkout.tree / path)
        scope: ast.AST = ast.parse(text)
    except (SyntaxError, UnicodeDecodeError, RecursionError):
        return None
    for part in name.partition("[")[0].split("::"):
        body: list[ast.AST] = getattr(scope, "body", [])
        scope = next((n for n in body if getattr(n, "name", None) == part), ast.Pass())
    if not isinstance(scope, ast.FunctionDef):
        return None
    texts = project.parameters.get(test, {})
    names = [a.arg for a in scope.args.args if a.arg not in ("self", "cls")]
    if not all(texts.get(name) for name in names):
        return None
    return _Test(text, scope, {n: ast.parse(f"{n} = {texts[n]}").body[0] for n in names})


@functools.lru_cache(maxsize=64)
def _text(path: Path) -> str:
    return path.read_bytes().decode()


def _script(test: _Test, found: _Assertion, last: str) -> str | None:
    """The last line after what it needs of the test, its parameters, and its module."""
    lines = [*map(ast.unparse, _used(found.before, last)), last]
    used = names_in("\n".join(lines))
    given = [ast.unparse(node) for name, node in test.parameters.items() if name in used]
    try:
        script = written_script(test.text, [*given, *lines], _check_usable)
    except _CannotError:
        return None
    return None if "self" in names_in(script) else script


def _used(before: Sequence[ast.stmt], last: str) -> list[ast.stmt]:
    """The statements without assignments of plain values that nothing after them uses."""
    kept: list[ast.stmt] = []
    names = names_in(last)
    for statement in reversed(before):
        stores = isinstance(statement, ast.Assign) and all(
            isinstance(target, ast.Name) and target.id not in names for target in statement.targets
        )
        acts = any(isinstance(node, ast.Call | ast.Await) for node in ast.walk(statement))
        if not stores or acts:
            kept.insert(0, statement)
            names |= names_in(ast.unparse(statement))
    return kept


def _assertions(function: ast.FunctionDef) -> Iterator[_Assertion]:
    before: list[ast.stmt] = []
    for statement in function.body:
        lines = range(statement.lineno, (statement.end_lineno or statement.lineno) + 1)
        called = statement.value if isinstance(statement, ast.Expr) else None
        if isinstance(statement, ast.Assert):
            yield _Assertion(tuple(before), _looked_at(statement.test), lines)
        elif isinstance(statement, ast.With) and _names(statement.items[0].context_expr, "aises"):
            *first, last = statement.body
            if isinstance(last, ast.Expr):
                yield _Assertion((*before, *first), last.value, lines, raises=True)
        elif isinstance(called, ast.Call) and _names(called, ".assert"):
            if called.args and any(_names(called, name) for name in _COMPARING):
                yield _Assertion(tuple(before), called.args[0], lines)
        elif not isinstance(called, ast.Constant):
            before.append(statement)


def _names(node: ast.expr, part: str) -> bool:
    """Whether a node is a call of a function with this in its name."""
    return isinstance(node, ast.Call) and part in ast.unparse(node.func)


def _looked_at(test: ast.expr) -> ast.expr:
    """What is compared with a known value, or the whole assertion."""
    if not isinstance(test, ast.Compare) or len(test.ops) != 1:
        return test
    known = isinstance(test.ops[0], ast.Eq | ast.Is) and not isinstance(test.left, ast.Constant)
    return test.left if known else test


def _check_usable(node: ast.stmt) -> None:
    """Raises _CannotError for what a script outside the tests cannot have."""
    modules: Sequence[str] = ()
    if isinstance(node, FunctionNode) and (node.decorator_list or "test" in node.name):
        raise _CannotError
    if isinstance(node, ast.Import):
        modules = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        modules = ["test" if node.level else node.module or ""]  # relative ones cannot be used
    if any(module.partition(".")[0] in _TESTING or "test" in module for module in modules):
        raise _CannotError
