"""The assertions of tests, as oracle cases and as scripts.

Only tests that need nothing but imports, helpers, parameters, simple fixtures, and the members of
their class can be used (``testing_code``). A script has neither the name of its test nor that of
its file.
"""

from __future__ import annotations

import ast
import builtins
import copy
import functools
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from srl_env.swe.builder.project import Project, is_test_file
from srl_env.swe.builder.script import loaded_names, names_in, written_script
from srl_env.swe.builder.source import FunctionNode
from srl_env.swe.builder.testing_code import STATE, TestCode, read_test

PER_TEST: Final = 2
_COMPOUND: Final = (ast.For, ast.While, ast.If, ast.With, ast.Try)
_NOTHING: Final = ast.Constant(None)
_BUILTINS: Final = frozenset(dir(builtins))
_TESTING: Final = frozenset({"pytest", "unittest", "__future__", "hypothesis", "mock"})
_MARKS: Final = ("pytest", "unittest", "mock", "patch", "fixture")
_FIRST: Final = ("True", "False", "None", "IsInstance", "Greater", "Less", "Regex", "GreaterEqual")
_SIDES: Final = ("Equal", "Equals", "assertIs", "IsNot", "AlmostEqual", "CountEqual")


class _CannotError(Exception):
    """A test that cannot be a script."""


@dataclass(frozen=True)
class _Assertion:
    """A value that a test looks at, and the statements before it.

    node: the statement. raises: it must raise. others: more values that may show a failure.
    around: the statement of the test that it is inside of; None if it is not inside of one.
    """

    node: ast.stmt
    before: tuple[ast.stmt, ...]
    value: ast.expr
    raises: bool = False
    others: tuple[ast.expr, ...] = ()
    around: ast.stmt | None = None

    @property
    def last_line(self) -> int:
        return self.node.end_lineno or self.node.lineno

    def printed(self, value: ast.expr) -> str:
        """The statement that prints a value where it is looked at."""
        shown = f"print(repr({ast.unparse(value)}))"
        if self.around is None:
            return shown
        made = _Printed(self.node, ast.parse(shown).body[0]).visit(copy.deepcopy(self.around))
        return ast.unparse(ast.fix_missing_locations(made)) if made else shown


def failure_scripts(project: Project, test: str, line: int) -> Iterator[str]:
    """Scripts for a test that failed at a line of its file, the best first.

    They do what the test does before the first assertion at or after that line, and print what it
    looks at; or what its last call returns, where there is no assertion. The last ones also make
    the calls that earlier assertions make.
    """
    parsed = read_test(project, test)
    if parsed is None:
        return
    used = {name for source in project.sources.values() for name in source.attributes}
    seen = set[str]()
    for effects in (False, True):
        places = (*_assertions(parsed, effects=effects), *_last_call(parsed))
        found = next((place for place in places if line <= place.last_line), None)
        for value in (found.value, *found.others) if found else ():
            script = _script(parsed, found, found.printed(value)) if found else None
            if script and script not in seen and parsed.name not in script:
                seen.add(script)
                yield _without_unused_methods(script, used)


def assertion_cases(project: Project) -> Iterator[tuple[str, str, str]]:
    """What the tests compare with a value, as oracle cases: name, setup, expression.

    At most PER_TEST of a test.
    """
    for test in project.tests:
        parsed = read_test(project, test)
        if parsed is None:
            continue
        found = [one for one in _assertions(parsed) if not one.raises and one.around is None]
        for number, one in enumerate(found[-PER_TEST:], 1):
            expression = ast.unparse(one.value)
            script = _script(parsed, one, expression)
            if script is not None:
                yield f"{test} {number}", script.removesuffix(f"{expression}\n"), expression


def _script(test: TestCode, found: _Assertion, last: str) -> str | None:
    """The last statement after what it needs of the test, its class, and its module."""
    lines = [*map(ast.unparse, _used(found.before, last)), last]
    used = set(names_in("\n".join(lines)))
    for _ in test.known:  # what is used may use more
        used |= {
            name
            for known in used & set(test.known)
            for node in test.known[known]
            for name in names_in(ast.unparse(node))
        }
    given = [
        ast.unparse(node) + ("\n" if isinstance(node, FunctionNode) else "")
        for name, nodes in test.known.items()
        if name in used
        for node in nodes
    ]
    try:
        check = functools.partial(_check_usable, test)
        script = written_script(test.text, [*given, *lines], check)
    except _CannotError:
        return None
    tree = ast.parse(script)
    return None if _reads_unset_state(tree) else script


def _reads_unset_state(tree: ast.Module) -> bool:
    """Whether a script reads of a test's object what nothing sets, such as a method of unittest."""
    own = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == STATE
    ]
    read = {node.attr for node in own if isinstance(node.ctx, ast.Load)}
    return not read <= {node.attr for node in own if not isinstance(node.ctx, ast.Load)}


def _without_unused_methods(script: str, used: Collection[str]) -> str:
    """A script whose classes have only special methods, and those that it or the code under test
    may call. used: the names of attributes in that code.
    """
    tree, lines = ast.parse(script), [*script.splitlines(), None][:-1]
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    while unused := [
        (owner, method)
        for owner in classes
        for method in owner.body
        if isinstance(method, FunctionNode)
        and not method.name.endswith("__")
        and method.name not in used
        and method.name not in _mentioned(tree, method)
    ]:
        for owner, method in unused:
            owner.body.remove(method)
            first = min([method.lineno, *(mark.lineno for mark in method.decorator_list)])
            end = method.end_lineno or first
            lines[first - 1 : end] = [None] * (end - first + 1)
            if not owner.body:
                owner.body.append(ast.Pass())
                lines[first - 1] = " " * method.col_offset + "pass"
    kept = "\n".join(line for line in lines if line is not None)
    return re.sub(r"\n{3,}", "\n\n", kept).strip("\n") + "\n"


def _mentioned(node: ast.AST, without: ast.AST) -> set[str]:
    """The names and attributes in code, but for one node."""
    if node is without:
        return set()
    own = {node.id} if isinstance(node, ast.Name) else set[str]()
    own |= {node.attr} if isinstance(node, ast.Attribute) else set()
    return own.union(*(_mentioned(child, without) for child in ast.iter_child_nodes(node)))


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


def _assertions(test: TestCode, *, effects: bool = False) -> Iterator[_Assertion]:
    """The assertions of a test, in their order.

    effects: whether the statements before one have the calls of earlier assertions.
    """
    before: list[ast.stmt] = []
    for statement in test.body:
        if values := _looked_at(statement):
            raises = _expects_exception(statement)
            more = _first_statements(statement) if raises else ()
            if values[0] is not _NOTHING:
                yield _Assertion(statement, (*before, *more), values[0], raises, values[1:])
            if effects and not raises:
                before += _calls(values)
            continue
        for inner in _within(statement):
            values = () if isinstance(inner, ast.With) else _looked_at(inner)
            if values and values[0] is not _NOTHING:
                yield _Assertion(inner, tuple(before), values[0], False, values[1:], statement)
        if not _is_text(statement):
            quiet = _Printed(None, None).visit(copy.deepcopy(statement))
            if isinstance(quiet, ast.stmt):
                before.append(ast.fix_missing_locations(quiet))


def _calls(values: Sequence[ast.expr]) -> list[ast.stmt]:
    """The values that call more than built-in functions, as statements."""
    sides = values[:-1] if len(values) > 1 else values  # the last is the whole comparison
    called = [
        side
        for side in sides
        if any(
            isinstance(node, ast.Call) and ast.unparse(node.func) not in _BUILTINS
            for node in ast.walk(side)
        )
    ]
    return [ast.fix_missing_locations(ast.copy_location(ast.Expr(side), side)) for side in called]


class _Printed(ast.NodeTransformer):
    """Statements without their assertions; one of them is replaced."""

    def __init__(self, chosen: ast.stmt | None, print_: ast.stmt | None) -> None:
        self._place = (chosen.lineno, chosen.col_offset) if chosen else None
        self._print = print_

    def visit(self, node: ast.AST) -> ast.AST | None:
        if not isinstance(node, ast.stmt):
            return self.generic_visit(node)
        if self._place == (node.lineno, node.col_offset) and not isinstance(node, _COMPOUND):
            return self._print
        if _looked_at(node):
            return None
        made = self.generic_visit(node)
        if isinstance(made, _COMPOUND) and not made.body:
            return None
        return made


def _within(statement: ast.stmt) -> Iterator[ast.stmt]:
    """The statements inside of a compound one, in their order."""
    if isinstance(statement, _COMPOUND):
        for name in ("body", "orelse", "finalbody"):
            for node in getattr(statement, name, ()):
                yield node
                yield from _within(node)


def _looked_at(node: ast.stmt) -> tuple[ast.expr, ...]:
    """The values that an assertion looks at, the best first; () if a statement is none."""
    if isinstance(node, ast.Assert):
        return _compared(node.test)
    if isinstance(node, ast.With):
        if not _names(node.items[0].context_expr, "aises"):
            return ()
        last = node.body[-1]
        return (last.value if isinstance(last, ast.Expr | ast.Assign) else _NOTHING,)
    if not isinstance(node, ast.Expr) or not _names(node.value, ".assert"):
        return ()
    assert isinstance(node.value, ast.Call)
    called, given = ast.unparse(node.value.func), node.value.args
    if called.endswith("Raises") and len(given) > 1:
        return (ast.Call(given[1], given[2:], node.value.keywords),)
    if called.endswith(_SIDES) and len(given) > 1:
        how = ast.Is() if called.endswith(("Is", "IsNot")) else ast.Eq()
        return (*_sides(given[0], given[1]), ast.Compare(given[0], [how], [given[1]]))
    if called.endswith("In") and len(given) > 1:
        return (ast.Compare(given[0], [ast.In()], [given[1]]), given[1])
    if called.endswith(_FIRST) and given:
        return _compared(given[0])
    if ".assert_" in called and len(given) > 1 and "raises" not in called:
        return _sides(given[0], given[1])
    return (_NOTHING,) if called.startswith("self.assert") else ()


def _compared(test: ast.expr) -> tuple[ast.expr, ...]:
    """What is compared with a known value, or the whole assertion; then what else may differ."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return _compared(test.operand)
    if not isinstance(test, ast.Compare) or len(test.ops) != 1:
        return (test,)
    if not isinstance(test.ops[0], ast.Eq | ast.Is):
        return (test,)
    return (*_sides(test.left, test.comparators[0]), test)


def _sides(*sides: ast.expr) -> tuple[ast.expr, ...]:
    """Those sides of a comparison that the code under test computes; both if neither is."""
    computed = [s for s in sides if loaded_names(s) - _BUILTINS]
    return tuple(computed or sides)


def _expects_exception(node: ast.stmt) -> bool:
    value = node.value if isinstance(node, ast.Expr) else None
    return isinstance(node, ast.With) or (value is not None and _names(value, "aises"))


def _first_statements(node: ast.stmt) -> Sequence[ast.stmt]:
    return node.body[:-1] if isinstance(node, ast.With) else ()


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _last_call(test: TestCode) -> Iterator[_Assertion]:
    """The last statement of a test, if it is a call: it must not raise."""
    *before, last = test.body
    if isinstance(last, ast.Expr | ast.Assign) and isinstance(last.value, ast.Call):
        yield _Assertion(last, tuple(before), last.value)


def _names(node: ast.expr, part: str) -> bool:
    """Whether a node is a call of a function with this in its name."""
    return isinstance(node, ast.Call) and part in ast.unparse(node.func)


def _check_usable(test: TestCode, node: ast.stmt) -> None:
    """Raises _CannotError for what a script outside the tests cannot have.

    A relative import becomes one from the repository's root.
    """
    modules: Sequence[str] = ()
    if isinstance(node, FunctionNode):
        marks = " ".join(map(ast.unparse, node.decorator_list))
        if "test" in node.name or any(word in marks for word in _MARKS):
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
