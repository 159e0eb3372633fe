"""Short scripts that show a behaviour, run in the sandbox on the right code or on a faulty one."""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from srl_env.errors import SandboxFailure
from srl_env.sandbox import Sandbox
from srl_env.sandbox.session import KeeperSession
from srl_env.swe.builder.checkout import Checkout, files_written
from srl_env.swe.builder.project import Target
from srl_env.swe.builder.source import FunctionNode
from srl_env.swe.builder.suite import PROBING, entrance
from srl_env.swe.packages import package_folders

MODULE: Final = "probes.script"
_FOLDER: Final = "/probing"
_MAIN: Final = (
    f"import sys; sys.path.insert(0, {_FOLDER!r}); from probes import script; script.main()"
)
_SCRIPT_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a script printed, and the exception it ended with ("ValueError: message") or "".

    ways: for each function asked about, the calls that led to it, outermost first, as
    (path, line); () where it was not run.
    """

    printed: str
    error: str
    ways: tuple[tuple[tuple[str, int], ...], ...] = ()

    @property
    def text(self) -> str:
        """All of it as a terminal would show it, without the traceback's frames."""
        return "\n".join(part for part in (self.printed.rstrip("\n"), self.error) if part)


def names_in(script: str) -> frozenset[str]:
    """All names and attributes in a script."""
    nodes = list(ast.walk(ast.parse(script)))
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    return frozenset(names | {node.attr for node in nodes if isinstance(node, ast.Attribute)})


def written_script(before: str, last: Sequence[str], used: Callable[[ast.stmt], None]) -> str:
    """The script of some last statements and what of a text before them they need.

    Imports of the text are put together, without names that nothing uses. used: is told each
    statement that is taken over.
    """
    statements = [node for text in last for node in ast.parse(text).body]
    wanted = {name for node in statements for name in loaded_names(node)}
    wanted -= {name for node in statements for name in bound_names(node)}
    head: list[str] = []
    rest: list[str] = []
    for node in reversed(ast.parse(before).body):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [a for a in node.names if (a.asname or a.name.partition(".")[0]) in wanted]
            if names:
                node.names = names
                used(node)
                head.insert(0, ast.unparse(node))
        elif _matters(node, wanted):
            used(node)
            wanted |= loaded_names(node) | set(bound_names(node))
            rest.insert(0, _spaced(node, ast.get_source_segment(before, node) or ""))
    parts = ["\n".join(merge_imports(head)), "\n".join([*rest, *last])]
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def merge_imports(lines: Iterable[str]) -> list[str]:
    """Import statements sorted, one for each module, the standard library's first."""
    plain, names = set(), dict[str, set[str]]()
    for line in lines:
        found = re.fullmatch(r"from (\S+) import ([\w, ]+)", line)
        if found:
            names.setdefault(found[1], set()).update(re.split(r",\s*", found[2]))
        else:
            plain.add(line)
    froms = [f"from {module} import {', '.join(sorted(found))}" for module, found in names.items()]
    return sorted([*plain, *froms], key=lambda line: (not _is_standard(line), line))


def loaded_names(node: ast.AST) -> set[str]:
    """The names that a node reads."""
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def bound_names(node: ast.stmt) -> list[str]:
    """The names that a statement gives a value."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [alias.asname or alias.name.partition(".")[0] for alias in node.names]
    if isinstance(node, FunctionNode | ast.ClassDef):
        return [node.name]
    names = [n for n in ast.walk(node) if isinstance(n, ast.Name)]
    return [name.id for name in names if isinstance(name.ctx, ast.Store)]


def _matters(node: ast.stmt, wanted: set[str]) -> bool:
    """Whether a statement makes, or changes, something that is wanted."""
    if set(bound_names(node)) & wanted:
        return True
    changes = isinstance(node, ast.Expr | ast.For | ast.With | ast.Assign | ast.AugAssign | ast.If)
    owners = {n.id for n in _owners(node)}
    return changes and bool(owners & wanted)


def _owners(node: ast.stmt) -> Iterator[ast.Name]:
    """The names whose attributes or items a statement calls or sets."""
    for part in ast.walk(node):
        if isinstance(part, ast.Attribute | ast.Subscript):
            owner: ast.expr = part
            while isinstance(owner, ast.Attribute | ast.Subscript | ast.Call):
                owner = owner.func if isinstance(owner, ast.Call) else owner.value
            if isinstance(owner, ast.Name):
                yield owner


def _spaced(node: ast.stmt, text: str) -> str:
    return f"{text}\n" if isinstance(node, FunctionNode | ast.ClassDef) else text


def _is_standard(line: str) -> bool:
    return line.split()[1].partition(".")[0] in sys.stdlib_module_names


def run_script(
    sandbox: Sandbox,
    checkout: Checkout,
    script: str,
    files: Mapping[str, str],
    functions: Sequence[Target] = (),
    *,
    hash_seed: int | None = None,
) -> Outcome | None:
    """What a script comes to on a checkout with these files written over it.

    functions: whose ways are told. hash_seed: of a fresh interpreter. None where the script
    did not end by itself in time. Raises SandboxFailure.
    """
    request: dict[str, Any] = {
        "script": script,
        "functions": [[t.path, t.function.first, t.function.last] for t in functions],
    }
    mounts = (*checkout.mounts, *PROBING)
    with sandbox.start(checkout.tree, mounts=mounts) as session:
        session.apply(files_written(files))
        request |= entrance(session, checkout, files)
        request["python_path"] += package_folders(checkout.mounts)
        stdin = json.dumps(request).encode()
        warm = hash_seed is None and isinstance(session, KeeperSession)
        if warm and isinstance(session, KeeperSession) and MODULE in session.preloaded:
            done = session.call(MODULE, stdin=stdin, timeout_s=_SCRIPT_S, report=True)
        else:
            done = session.run(
                ["python3", "-P", "-s", "-S", "-B", "-c", _MAIN],
                stdin=stdin,
                timeout_s=_SCRIPT_S,
                env={"PYTHONHASHSEED": str(hash_seed or 0)},
                report=True,
            )
    if done.ended != "exited" or not done.report:
        return None
    try:
        answer = json.loads(done.report)
    except ValueError:
        raise SandboxFailure(f"a script's answer cannot be read: {done.report[-200:]!r}") from None
    ways = tuple(tuple(_place(place) for place in way) for way in answer["ways"])
    return Outcome(answer["printed"], answer["error"], ways)


def _place(text: str) -> tuple[str, int]:
    path, _, line = text.rpartition(":")
    return path, int(line)
