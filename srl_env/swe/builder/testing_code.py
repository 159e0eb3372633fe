"""A test as plain code: without its class, its fixtures and its marks.

``self.price`` becomes ``price``, methods become functions, and what ``setUp`` does comes first.
Base classes are found in the file of the test, and in modules beside it.
"""

from __future__ import annotations

import ast
import copy
import functools
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from srl_env.swe.builder.project import Project, is_source_file, is_test_file
from srl_env.swe.builder.script import bound_names, loaded_names
from srl_env.swe.builder.source import FunctionNode

STATE: Final = "state"  # what tests keep in self, where their methods change it
_SELVES: Final = ("self", "cls")
_SETUPS: Final = ("setUp", "setup_method", "asyncSetUp")
_MOST_BASES: Final = 8
_MOST_MODULES: Final = 8
_METHOD_MARKS: Final = ("staticmethod", "classmethod")
_OPENED: Final = ("subTest", "subtests.test", "pytest.warns", "assertWarns", "does_not_raise")

_UNREADABLE: Final = (OSError, SyntaxError, ValueError, RecursionError)

Known = dict[str, tuple[ast.stmt, ...]]
"""{name: the statements that make it}."""


@dataclass(frozen=True)
class TestCode:
    """A test's function as plain code, and what is around it.

    text: of the modules that it needs names of. body: its statements, with those of ``setUp``.
    known: its parameters, fixtures, and the attributes and methods of its class.
    folder, path: of the repository, and of the file in it. function: as it is written there.
    """

    __test__ = False  # for pytest

    text: str
    body: tuple[ast.stmt, ...]
    known: Known
    folder: Path
    path: str
    function: ast.FunctionDef

    @property
    def name(self) -> str:
        """The function's name."""
        return self.function.name


def failing_code(project: Project, test: str, line: int) -> str:
    """What a test does, as it is written, up to a line of its file; "" if that is not known."""
    try:
        found = _found(project, test)
        if found is None:
            return ""
        function, home = found[:2]
        body = [node for node in function.body if not _is_text(node)]
        ends = [
            node.end_lineno or node.lineno
            for part in body
            for node in ast.walk(part)
            if isinstance(node, ast.stmt)
            and ((node.lineno <= line and not _has_body(node)) or node.lineno == line)
        ]
        lines = home.text.splitlines()[body[0].lineno - 1 : max(ends)] if ends else []
        return textwrap.dedent("\n".join(lines)).rstrip()
    except _UNREADABLE:
        return ""


def read_test(project: Project, test: str) -> TestCode | None:
    """A test's code; None where it is no plain function, or needs what only pytest has."""
    folder = project.checkout.tree
    try:
        found = _found(project, test)
    except _UNREADABLE:
        return None
    if found is None:
        return None
    node, home, module, chain = found
    given = project.parameters.get(test, {})
    arguments = [a.arg for a in node.args.args if a.arg not in _SELVES]
    known: Known = {}
    used = list[_Module]()
    for argument in arguments:
        text = _parameter(node, argument, given.get(argument, ""))
        made = ast.parse(f"{argument} = {text}").body if text else None
        for place in (home, *home.conftests()) if made is None else ():
            if made := place.fixture(argument):
                used.append(place)
                break
        if not made:
            return None
        known[argument] = tuple(made)
    body, members = _without_class(node, chain)
    modules = (home, *(part.module for part in chain), module, *used)
    text = "from types import SimpleNamespace\n" + _joined(dict.fromkeys(modules))
    return TestCode(
        text,
        tuple(body),
        members | known,
        folder,
        home.path,
        node,
    )


def _found(
    project: Project, test: str
) -> tuple[ast.FunctionDef, _Module, _Module, list[_Class]] | None:
    """A test's function, its module, that of the test's id, and its classes."""
    path, _, name = test.partition("::")
    *classes, function = name.partition("[")[0].split("::")
    module = _Module(project.checkout.tree, path)
    chain = module.classes(classes)
    found = _function(chain, module, function)
    return (*found, module, chain) if found else None


@dataclass(frozen=True)
class _Class:
    node: ast.ClassDef
    module: _Module


class _Module:
    """A test module's syntax tree."""

    def __init__(self, folder: Path, path: str) -> None:
        self.folder, self.path = folder, path
        self.text = _text(folder / path)
        self.body = ast.parse(self.text).body

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Module) and other.path == self.path

    def __hash__(self) -> int:
        return hash(self.path)

    def named(self, name: str) -> ast.stmt | None:
        """The function or class of a name."""
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        return next((n for n in self.body if isinstance(n, kinds) and n.name == name), None)

    def classes(self, names: list[str]) -> list[_Class]:
        """The class that these names lead to, and its bases as far as they are known."""
        body: list[ast.stmt] = self.body
        node: ast.stmt | None = None
        for name in names:
            node = next((n for n in body if getattr(n, "name", None) == name), None)
            body = getattr(node, "body", [])
        if not isinstance(node, ast.ClassDef):
            return []
        chain, left = list[_Class](), [_Class(node, self)]
        while left and len(chain) < _MOST_BASES:
            chain.append(now := left.pop(0))
            left[:0] = [b for base in now.node.bases for b in now.module.class_of(base)]
        return chain

    def class_of(self, base: ast.expr) -> list[_Class]:
        """The class that an expression names, here or in a module beside this one."""
        name = base.id if isinstance(base, ast.Name) else ""
        if isinstance(node := self.named(name), ast.ClassDef):
            return [_Class(node, self)]
        for statement in self.body:
            if isinstance(statement, ast.ImportFrom) and any(
                (alias.asname or alias.name) == name for alias in statement.names
            ):
                modules = (_Module(self.folder, path) for path in self._paths(statement))
                found = ((module.named(name), module) for module in modules)
                return [_Class(n, m) for n, m in found if isinstance(n, ast.ClassDef)]
        return []

    def helper(self, node: ast.ImportFrom, name: str) -> _Module | None:
        """The module of tests that an import takes a function, class or value from."""
        for path in self._paths(node):
            if not is_source_file(path) and not is_test_file(path):
                module = _Module(self.folder, path)
                if any(name in bound_names(n) for n in module.body if not _imports(n)):
                    return module
        return None

    def _paths(self, node: ast.ImportFrom) -> Iterator[str]:
        parts = PurePosixPath(self.path).parts[: -node.level] if node.level else ()
        stem = PurePosixPath(*parts, *(node.module or "").split("."))
        for path in (f"{stem}.py", f"{stem / '__init__.py'}"):
            if (self.folder / path).is_file():
                yield path

    def conftests(self) -> Iterator[_Module]:
        """The conftest.py of its folder and those above."""
        for folder in PurePosixPath(self.path).parents:
            if (self.folder / folder / "conftest.py").is_file():
                yield _Module(self.folder, str(folder / "conftest.py"))

    def fixture(self, name: str) -> list[ast.stmt]:
        """The statements that make a fixture of this module that needs no other; [] for none."""
        node = self.named(name)
        if not isinstance(node, ast.FunctionDef) or node.args.args:
            return []
        if not any("fixture" in ast.unparse(mark) for mark in node.decorator_list):
            return []
        if any("params" in ast.unparse(mark) for mark in node.decorator_list):
            return []
        body = [part for part in node.body if not _is_text(part)]
        last = body[-1] if body else ast.Pass()
        value = getattr(last, "value", None)
        if isinstance(last, ast.Expr) and isinstance(value, ast.Yield):
            value = value.value
        elif not isinstance(last, ast.Return):
            return []
        if value is None or any(isinstance(n, ast.Return | ast.Yield) for n in _inside(body[:-1])):
            return []
        if isinstance(value, ast.Name) and value.id == name:
            return body[:-1]
        return [*body[:-1], _assigned(name, value)]


def _joined(modules: Iterable[_Module]) -> str:
    """The text of modules and of the helpers beside them, without the imports of these."""
    found, left, texts = set[_Module](), list(modules), list[str]()
    while left and len(found) < _MOST_MODULES:
        if (module := left.pop(0)) in found:
            continue
        found.add(module)
        lines = module.text.splitlines()
        for node in module.body:
            if not isinstance(node, ast.ImportFrom):
                continue
            helpers = {alias: module.helper(node, alias.name) for alias in node.names}
            if not any(helpers.values()):
                continue
            left += [helper for helper in helpers.values() if helper]
            node.names = [alias for alias, helper in helpers.items() if not helper]
            kept = ast.unparse(node) if node.names else ""
            end = node.end_lineno or node.lineno
            lines[node.lineno - 1 : end] = [kept, *[""] * (end - node.lineno)]
        texts.insert(0, "\n".join(lines))
    return "\n".join(texts)


def _function(
    chain: list[_Class], module: _Module, name: str
) -> tuple[ast.FunctionDef, _Module] | None:
    """The test's function, and the module it is in."""
    places = [(part.node.body, part.module) for part in chain] or [(module.body, module)]
    for body, home in places:
        for node in body:
            if isinstance(node, FunctionNode) and node.name == name:
                return (node, home) if isinstance(node, ast.FunctionDef) else None
    return None


def _without_class(function: ast.FunctionDef, chain: list[_Class]) -> tuple[list[ast.stmt], Known]:
    """The function's statements after those of ``setUp``, and the members of its class."""
    members: dict[str, ast.stmt] = {}
    setups = list[ast.stmt]()
    for part in reversed(chain):
        for node in part.node.body:
            if isinstance(node, FunctionNode) and node.name in _SETUPS:
                setups = [n for n in node.body if not _calls_super(n)]
            elif isinstance(node, ast.FunctionDef) and not node.name.startswith("test"):
                if all(ast.unparse(m) in _METHOD_MARKS for m in node.decorator_list):
                    members[node.name] = node
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                members[node.targets[0].id] = node
                call = node.value if isinstance(node.value, ast.Call) else None
                if call and _is_static(call.func) and call.args:
                    node.value = call.args[0]
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                members[node.target.id] = node
    body = [*setups, *function.body]
    functions = [node for node in members.values() if isinstance(node, ast.FunctionDef)]
    shared = {name for node in functions for name in _stored(node)}
    stored = {name for node in body for name in _stored(node)} - shared
    locals_ = {name for part in function.body for name in bound_names(part)}
    names = {
        name: (f"make_{name}" if isinstance(members.get(name), ast.FunctionDef) else f"the_{name}")
        if name in locals_
        else name
        for name in {*members, *stored}
    }
    rename = _WithoutSelf(names)
    known: Known = {STATE: tuple(ast.parse(f"{STATE} = SimpleNamespace()").body)}
    for name, node in members.items():
        plain = copy.deepcopy(node)
        if isinstance(plain, ast.FunctionDef):
            if not any(map(_is_static, plain.decorator_list)):
                plain.args.args = plain.args.args[1:]
            plain.decorator_list, plain.name = [], names[name]
        elif names[name] != name and (value := getattr(plain, "value", None)):
            plain = _assigned(names[name], value)
        known[names[name]] = (rename.visit(plain),)
    return [rename.visit(copy.deepcopy(node)) for node in _opened(body)], known


def _stored(node: ast.stmt) -> set[str]:
    """The attributes of self that code sets."""
    found = (part for part in ast.walk(node) if isinstance(part, ast.Attribute))
    return {part.attr for part in found if _is_own(part) and not isinstance(part.ctx, ast.Load)}


class _WithoutSelf(ast.NodeTransformer):
    """``self.NAME`` becomes a name, for the names that are known, and self becomes ``STATE``."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:  # ast's name
        if _is_own(node) and node.attr in self._names:
            return ast.copy_location(ast.Name(self._names[node.attr], node.ctx), node)
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:  # ast's name
        own = node.id in _SELVES
        return ast.copy_location(ast.Name(STATE, node.ctx), node) if own else node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:  # ast's name
        return node if _has_self(node) else self.generic_visit(node)

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:  # ast's name
        return node if _has_self(node) else self.generic_visit(node)


def _has_self(node: ast.FunctionDef | ast.Lambda) -> bool:
    return any(argument.arg in _SELVES for argument in node.args.args)


def _is_own(node: ast.Attribute) -> bool:
    """Whether an attribute is one of self."""
    return isinstance(node.value, ast.Name) and node.value.id in _SELVES


def _opened(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements, with those of contexts that only tests have in their places."""
    for node in body:
        if isinstance(node, ast.With):
            entered = ast.unparse(node.items[0].context_expr).partition("(")[0]
            if entered.endswith(_OPENED) and node.items[0].optional_vars is None:
                yield from _opened(node.body)
                continue
        for name in ("body", "orelse"):
            if isinstance(inner := getattr(node, name, None), list) and not isinstance(
                node, FunctionNode | ast.ClassDef
            ):
                setattr(node, name, list(_opened(inner)))
        yield node


def _parameter(function: ast.FunctionDef, name: str, text: str) -> str:
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


def _assigned(name: str, value: ast.expr) -> ast.stmt:
    return ast.parse(f"{name} = {ast.unparse(value)}").body[0]


def _is_static(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "staticmethod"


def _inside(body: list[ast.stmt]) -> Iterator[ast.AST]:
    for part in body:
        if not isinstance(part, FunctionNode | ast.ClassDef):
            yield from ast.walk(part)


def _calls_super(node: ast.stmt) -> bool:
    return "super" in loaded_names(node)


def _imports(node: ast.stmt) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom)


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _has_body(node: ast.stmt) -> bool:
    return isinstance(getattr(node, "body", None), list)


@functools.lru_cache(maxsize=64)
def _text(path: Path) -> str:
    return path.read_bytes().decode()
