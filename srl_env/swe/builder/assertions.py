"""The assertions of tests, as oracle cases and as scripts.

Only tests that need nothing but imports, helpers, parameters, and attributes of their class can be
used. A script has neither the name of its test nor that of its file.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from srl_env.swe.builder.project import Project, is_test_file
from srl_env.swe.builder.script import names_in, written_script
from srl_env.swe.builder.source import FunctionNode

PER_TEST: Final = 2
_TESTING: Final = frozenset({"pytest", "unittest", "__future__", "hypothesis", "mock"})

_COMPARING: Final = ("Equal", "True", "False", "None")  # unittest's, by their first argument


class _CannotError(Exception):
    """A test that cannot be a script."""


@dataclass(frozen=True)
class _Assertion:
    """A value that a test looks at, and the statements before it.

    raises: it must raise. others: more values that may show a failure.
    """

    before: tuple[ast.stmt, ...]
    value: ast.expr
    lines: range
    raises: bool = False
    others: tuple[ast.expr, ...] = ()


@dataclass(frozen=True)
class _Test:
    """A test's function, and what is around it.

    text: of its file. parameters: its parameters, and the attributes of its class, as assignments.
    folder, path: of the repository, and of the file in it.
    """

    text: str
    function: ast.FunctionDef
    parameters: dict[str, ast.stmt]
    folder: Path
    path: str


def failure_scripts(project: Project, test: str, line: int) -> Iterator[str]:
    """Scripts for a test that failed at a line of its file, the best first.

    They do what the test does before the first assertion at or after that line, and print what it
    looks at; or what its last call returns, where there is no assertion.
    """
    parsed = _parsed(project, test)
    if parsed is None:
        return
    places = (*_assertions(parsed.function), *_last_call(parsed.function))
    found = next((place for place in places if line <= place.lines[-1]), None)
    for value in (found.value, *found.others) if found else ():
        script = _script(parsed, found, f"print(repr({ast.unparse(value)}))") if found else None
        if script and parsed.function.name not in script:
            yield script


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
    owner: ast.AST = scope
    for part in name.partition("[")[0].split("::"):
        body: list[ast.AST] = getattr(scope, "body", [])
        owner, scope = (
            scope,
            next((n for n in body if getattr(n, "name", None) == part), ast.Pass()),
        )
    if not isinstance(scope, ast.FunctionDef):
        return None
    given = project.parameters.get(test, {})
    texts = {name: _argument(scope, name, text) for name, text in given.items()}
    names = [a.arg for a in scope.args.args if a.arg not in ("self", "cls")]
    if not all(texts.get(name) for name in names):
        return None
    known: dict[str, ast.stmt] = {n: ast.parse(f"{n} = {texts[n]}").body[0] for n in names}
    if isinstance(owner, ast.ClassDef):
        known = _attributes(owner, scope) | known
    return _Test(text, scope, known, project.checkout.tree, path)


def _argument(function: ast.FunctionDef, name: str, text: str) -> str:
    """The source of a parameter's value: as given, or, of "<n>", the n-th of its mark; else ""."""
    number = re.fullmatch(r"<(\d+)>", text)
    if number is None:
        return text
    for mark in function.decorator_list:
        if not isinstance(mark, ast.Call) or "parametrize" not in ast.unparse(mark.func):
            continue
        if len(mark.args) < 2 or not isinstance(mark.args[1], ast.List | ast.Tuple):
            continue
        names = re.findall(r"\w+", ast.unparse(mark.args[0]))
        rows = mark.args[1].elts
        if name in names and int(number[1]) < len(rows):
            row = rows[int(number[1])]
            if isinstance(row, ast.Call) and ast.unparse(row.func).endswith("param"):
                values = row.args
            else:
                several = len(names) > 1 and isinstance(row, ast.Tuple | ast.List)
                values = row.elts if several else [row]  # type: ignore[attr-defined]
            return ast.unparse(values[names.index(name)]) if len(values) == len(names) else ""
    return ""


def _attributes(owner: ast.ClassDef, function: ast.FunctionDef) -> dict[str, ast.stmt]:
    """Attributes of a test's class as assignments. ``self.a`` becomes ``a`` in the function."""
    known: dict[str, ast.stmt] = {}
    for node in owner.body:
        targets = node.targets if isinstance(node, ast.Assign) else [ast.Pass()]
        if len(targets) == 1 and isinstance(targets[0], ast.Name):
            known[targets[0].id] = node
    _WithoutSelf(known).visit(function)
    return known


class _WithoutSelf(ast.NodeTransformer):
    def __init__(self, known: Mapping[str, ast.stmt]) -> None:
        self._known = known

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:  # ast's name
        own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
        if own and node.attr in self._known:
            return ast.copy_location(ast.Name(node.attr, node.ctx), node)
        return self.generic_visit(node)


@functools.lru_cache(maxsize=64)
def _text(path: Path) -> str:
    return path.read_bytes().decode()


def _script(test: _Test, found: _Assertion, last: str) -> str | None:
    """The last line after what it needs of the test, its parameters, and its module."""
    lines = [*map(ast.unparse, _used(found.before, last)), last]
    used, given = set(names_in("\n".join(lines))), list[str]()
    for name, node in reversed(test.parameters.items()):  # later ones may need earlier ones
        if name in used:
            given.insert(0, ast.unparse(node))
            used |= names_in(given[0])
    try:
        check = functools.partial(_check_usable, test)
        script = written_script(test.text, [*given, *lines], check)
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
            value, *others = _looked_at(statement.test)
            yield _Assertion(tuple(before), value, lines, others=tuple(others))
        elif isinstance(statement, ast.With) and _names(statement.items[0].context_expr, "aises"):
            *first, last = statement.body
            if isinstance(last, ast.Expr):
                yield _Assertion((*before, *first), last.value, lines, raises=True)
        elif isinstance(called, ast.Call) and _names(called, ".assert"):
            if called.args and any(_names(called, name) for name in _COMPARING):
                yield _Assertion(tuple(before), called.args[0], lines)
        elif not isinstance(called, ast.Constant):
            before.append(statement)


def _last_call(function: ast.FunctionDef) -> Iterator[_Assertion]:
    """The last statement of a test, if it is a call: it must not raise."""
    *before, last = function.body
    if isinstance(last, ast.Expr | ast.Assign) and isinstance(last.value, ast.Call):
        lines = range(last.lineno, (last.end_lineno or last.lineno) + 1)
        yield _Assertion(tuple(before), last.value, lines)


def _names(node: ast.expr, part: str) -> bool:
    """Whether a node is a call of a function with this in its name."""
    return isinstance(node, ast.Call) and part in ast.unparse(node.func)


def _looked_at(test: ast.expr) -> tuple[ast.expr, ...]:
    """What is compared with a known value, or the whole assertion; then what else may differ."""
    if not isinstance(test, ast.Compare) or len(test.ops) != 1:
        return (test,)
    sides = [s for s in (test.left, *test.comparators) if not isinstance(s, ast.Constant)]
    known = isinstance(test.ops[0], ast.Eq | ast.Is)
    return (*sides, test) if known and sides else (test,)


def _check_usable(test: _Test, node: ast.stmt) -> None:
    """Raises _CannotError for what a script outside the tests cannot have.

    A relative import becomes one from the repository's root.
    """
    modules: Sequence[str] = ()
    if isinstance(node, FunctionNode) and (node.decorator_list or "test" in node.name):
        raise _CannotError
    if isinstance(node, ast.Import):
        modules = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        if node.level:
            above = PurePosixPath(test.path).parts[: -node.level]
            node.module, node.level = ".".join((*above, *filter(None, [node.module]))), 0
        modules = [node.module or ""]
    for module in modules:
        if module.partition(".")[0] in _TESTING:
            raise _CannotError
        if "test" in module and not _is_helper(test.folder, module):
            raise _CannotError


def _is_helper(folder: Path, module: str) -> bool:
    """Whether a module lies in the repository and holds no tests, which may be hidden."""
    path = module.replace(".", "/")
    found = next((p for p in (f"{path}.py", f"{path}/__init__.py") if (folder / p).is_file()), "")
    return bool(found) and not is_test_file(found) and not found.endswith("conftest.py")
