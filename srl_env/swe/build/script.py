"""Short scripts that show a behaviour, run in the sandbox on the right code or on a faulty one."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from srl_env.errors import SandboxFailure
from srl_env.sandbox import Mount, Sandbox
from srl_env.sandbox.session import KeeperSession
from srl_env.swe.build.checkout import Checkout, files_written
from srl_env.swe.build.project import Target
from srl_env.swe.build.suite import roots
from srl_env.swe.packages import package_folders

MODULE: Final = "probes.script"
_PROBES: Final = Path(__file__).resolve().parent / "probes"
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


@dataclass(frozen=True, slots=True)
class Script:
    """A script, the public name that it is about, and the names it calls."""

    text: str
    subject: str

    @property
    def names(self) -> frozenset[str]:
        """All names and attributes in it."""
        nodes = list(ast.walk(ast.parse(self.text)))
        names = {node.id for node in nodes if isinstance(node, ast.Name)}
        return frozenset(names | {node.attr for node in nodes if isinstance(node, ast.Attribute)})


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
    request = {
        "script": script,
        "functions": [[t.path, t.function.first, t.function.last] for t in functions],
    }
    mounts = (*checkout.mounts, Mount(_PROBES, f"{_FOLDER}/probes"))
    with sandbox.start(checkout.tree, mounts=mounts) as session:
        session.apply(files_written(files))
        folders = [*roots(session, checkout), *package_folders(checkout.mounts)]
        request |= {"workspace": session.workspace, "python_path": folders}
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
