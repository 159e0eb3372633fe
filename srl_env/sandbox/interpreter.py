"""The Python a session is given: which files it needs, and which of them must stay hidden."""

from __future__ import annotations

import functools
import importlib.util
import os
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from srl_env.errors import SandboxUnavailable
from srl_env.sandbox.limits import Mount

# Our own packages hold tasks' solutions: never shown, even where a task names them.
HIDDEN_PACKAGES: Final = ("srl_env", "srl_tasks", "srl_agents")
_ALWAYS_SHOWN: Final = ("/usr/bin", "/usr/lib")


@dataclass(frozen=True)
class Interpreter:
    """The files a session needs for its Python.

    executable: its path. mounts: what it needs beyond /usr. hidden: folders shown empty.
    links: names by which commands find it, and where they lead. covered: folders of installed
    packages, which hold only what a task names in them.
    """

    executable: str
    mounts: tuple[Mount, ...]
    hidden: tuple[str, ...]
    links: tuple[tuple[str, str], ...]
    covered: tuple[str, ...] = ()


@functools.cache
def own_interpreter() -> Interpreter:
    """The Python this process runs on, without the virtual environment and its packages."""
    base = getattr(sys, "_base_executable", sys.executable)
    executable = os.path.realpath(base)
    prefix = os.path.realpath(sys.base_prefix)
    if executable.startswith(_ALWAYS_SHOWN) and prefix == "/usr":
        return Interpreter(executable, (), _hidden("/usr"), _links(executable))
    links = () if prefix == "/usr/local" else _links(executable)
    mounts = (Mount(Path(prefix)),)
    return Interpreter(executable, mounts, _hidden(prefix), links, _covered(prefix))


def system_interpreter() -> Interpreter:
    """The system's Python, for backends that cannot show one from a closed home folder.

    Raises SandboxUnavailable where neither it nor this process's Python can be reached.
    """
    for executable in ("/usr/bin/python3", "/usr/local/bin/python3", own_interpreter().executable):
        if os.path.exists(executable) and _reachable(executable):
            prefix = Path(executable).parent.parent
            mounts = () if str(prefix) == "/usr" else (Mount(prefix),)
            return Interpreter(executable, mounts, (), ())
    raise SandboxUnavailable(
        f"{own_interpreter().executable} lies in a folder that only root may enter, and there is "
        "no /usr/bin/python3; install one (apt-get install python3-minimal)"
    )


def _links(executable: str) -> tuple[tuple[str, str], ...]:
    return tuple((f"/usr/local/bin/{name}", executable) for name in ("python", "python3"))


def _hidden(prefix: str) -> tuple[str, ...]:
    found = (importlib.util.find_spec(name) for name in HIDDEN_PACKAGES)
    paths = [path for spec in found if spec for path in spec.submodule_search_locations or ()]
    resolved = {os.path.realpath(path) for path in paths}
    return tuple(sorted(path for path in resolved if path.startswith(f"{prefix}/")))


def _covered(prefix: str) -> tuple[str, ...]:
    """Where packages are installed beside an interpreter: a task's right code may be there."""
    scheme = sysconfig.get_preferred_scheme("prefix")
    paths = sysconfig.get_paths(scheme, {"base": prefix, "platbase": prefix})
    resolved = {os.path.realpath(paths[name]) for name in ("purelib", "platlib")}
    return tuple(sorted(path for path in resolved if path.startswith(f"{prefix}/")))


def _reachable(path: str) -> bool:
    """Whether any user may enter all folders above a path and run what is there."""
    real = Path(path).resolve()
    return all(part.stat().st_mode & 0o001 for part in (real, *real.parents))
