"""Short scripts that show a behaviour: made from source text, and run in the sandbox."""

from __future__ import annotations

import ast
import builtins
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from srl_env.errors import SandboxFailure
from srl_env.sandbox import Sandbox
from srl_env.swe.builder.checkout import Checkout, run_probe
from srl_env.swe.builder.source import FunctionNode

_SCRIPT_S: Final = 5.0
_Import = ast.Import | ast.ImportFrom


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a script printed, and the exception it ended with ("ValueError: message") or "".

    calls: the calls that led to the function asked about, outermost first, as (path, line).
    entered: the last functions of the checkout that the script itself called, in order; those that
    an exception came through, outermost last.
    """

    printed: str
    error: str
    calls: tuple[tuple[str, int], ...] = ()
    entered: tuple[tuple[str, int], ...] = ()

    @property
    def text(self) -> str:
        """What a terminal would show, without the traceback's frames."""
        return "\n".join(part for part in (self.printed.rstrip("\n"), self.error) if part)


def run_script(
    sandbox: Sandbox,
    checkout: Checkout,
    script: str,
    files: Mapping[str, str],
    function: tuple[str, int, int] | None = None,
    *,
    hash_seed: int | None = None,
) -> Outcome | None:
    """The outcome of a script on a checkout with these files written over it.

    function: the path, first and last line of the one whose calls are reported.
    hash_seed: of a fresh interpreter. None where the script did not end by itself in time.
    Raises SandboxFailure.
    """
    done = run_probe(
        sandbox,
        checkout,
        "script",
        {"script": script, "function": list(function or ())},
        files=files,
        timeout_s=_SCRIPT_S,
        hash_seed=hash_seed,
    )
    if done.ended != "exited" or not done.report:
        return None
    try:
        answer = json.loads(done.report)
    except ValueError:
        raise SandboxFailure(f"a script's answer cannot be read: {done.report[-200:]!r}") from None
    calls, entered = (tuple(map(tuple, answer[key])) for key in ("calls", "entered"))
    return Outcome(answer["printed"], answer["error"], calls, entered)


def names_in(script: str) -> frozenset[str]:
    """All names and attributes in a script."""
    nodes = list(ast.walk(ast.parse(script)))
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    return frozenset(names | {node.attr for node in nodes if isinstance(node, ast.Attribute)})


def written_script(before: str, last: Sequence[str], check: Callable[[ast.stmt], None]) -> str:
    """A script of some last statements, and the statements of an earlier text that they need.

    Imports of the text are merged, without unused names. check: called with each statement that is
    taken; it may raise.
    """
    statements = [node for text in last for node in ast.parse(text).body]
    wanted = {name for node in statements for name in loaded_names(node)}
    wanted -= {name for node in statements for name in bound_names(node)}
    body = ast.parse(before).body
    made = {*dir(builtins), *(name for node in body for name in bound_names(node))}
    imports: list[ast.Import | ast.ImportFrom] = []
    rest: list[str] = []
    for node in reversed(body):
        if isinstance(node, _Import):
            node.names = [
                a for a in node.names if _bound(a) in wanted or _may_bind(a, wanted - made)
            ]
            if node.names:
                check(node)
                imports.append(node)
        elif _matters(node, wanted):
            check(node)
            wanted |= loaded_names(node) | set(bound_names(node))
            blank = "\n" if isinstance(node, FunctionNode | ast.ClassDef) else ""
            rest.insert(0, _source(before, node) + blank)
    parts = ["\n".join(_import_lines(imports)), "\n".join([*rest, *last])]
    joined = "\n\n".join(part.strip("\n") for part in parts if part)
    return _spaced(joined) + "\n"


def _spaced(text: str) -> str:
    """A text with a blank line before each function and class."""
    lines = list[str]()
    for line in text.splitlines():
        starts = line.startswith(("def ", "class ", "@", "async def "))
        if starts and lines and lines[-1] and not lines[-1].startswith("@"):
            lines.append("")
        lines.append(line)
    return "\n".join(lines)


def _import_lines(nodes: Iterable[ast.Import | ast.ImportFrom]) -> list[str]:
    """Import statements sorted, one for each module, the standard library's first."""
    names: dict[str, set[str]] = {}
    for node in nodes:
        for alias in map(ast.unparse, node.names):
            if isinstance(node, ast.Import):
                names[f"import {alias}"] = set()
            elif alias == "*":
                names[f"from {node.module} import *"] = set()
            else:
                names.setdefault(f"from {node.module} import ", set()).add(alias)
    lines = [head + ", ".join(sorted(found)) for head, found in names.items()]
    return sorted(lines, key=lambda line: (not _is_standard(line), line))


def loaded_names(node: ast.AST) -> set[str]:
    """The names that a node reads."""
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def bound_names(node: ast.stmt) -> list[str]:
    """The names that a statement assigns."""
    if isinstance(node, _Import):
        return list(map(_bound, node.names))
    if isinstance(node, FunctionNode | ast.ClassDef):
        return [node.name]
    names = [n for n in ast.walk(node) if isinstance(n, ast.Name)]
    return [name.id for name in names if isinstance(name.ctx, ast.Store)]


def _bound(alias: ast.alias) -> str:
    """The name that an import assigns."""
    return alias.asname or alias.name.partition(".")[0]


def _source(text: str, node: ast.stmt) -> str:
    """The text of a statement of a module, with its decorators."""
    marks = [mark.lineno for mark in getattr(node, "decorator_list", ())]
    if not marks:
        return ast.get_source_segment(text, node) or ""
    return "\n".join(text.splitlines()[min(marks) - 1 : node.end_lineno])


def _may_bind(alias: ast.alias, names: set[str]) -> bool:
    """Whether an import of everything may assign one of the names."""
    return alias.name == "*" and bool(names)


def _matters(node: ast.stmt, wanted: set[str]) -> bool:
    """Whether a statement makes or changes a wanted name."""
    if set(bound_names(node)) & wanted:
        return True
    changes = isinstance(node, ast.Expr | ast.For | ast.With | ast.Assign | ast.AugAssign | ast.If)
    return changes and not wanted.isdisjoint(_owners(node))


def _owners(node: ast.stmt) -> Iterator[str]:
    """The names whose attributes or items a statement calls or sets."""
    for part in ast.walk(node):
        if isinstance(part, ast.Attribute | ast.Subscript):
            owner: ast.expr = part
            while isinstance(owner, ast.Attribute | ast.Subscript | ast.Call):
                owner = owner.func if isinstance(owner, ast.Call) else owner.value
            if isinstance(owner, ast.Name):
                yield owner.id


def _is_standard(line: str) -> bool:
    return line.split()[1].partition(".")[0] in sys.stdlib_module_names
