"""The backends that use this kernel directly: namespaces, Landlock, and none at all.

A helper process starts their sessions; its program is ``srl_env.sandbox.inside.launcher``.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from srl_env.errors import BadOption, SandboxFailure
from srl_env.sandbox.interpreter import Interpreter, own_interpreter, system_interpreter
from srl_env.sandbox.limits import Isolation, Limits, Mount, Preload
from srl_env.sandbox.session import Connection, Session, SocketConnection

PATH: Final = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
BASE_ENVIRONMENT: Final = {
    "PATH": PATH,
    "HOME": "/tmp",
    "TMPDIR": "/tmp",
    "LANG": "C.UTF-8",
    "PYTHONDONTWRITEBYTECODE": "1",
}
_CLEAN: Final = ("-P", "-s", "-S", "-B")
_HERE: Final = Path(__file__).resolve().parent
_MAIN: Final = """import sys
plain = list(sys.path)
sys.path[:0] = {folders!r}
from inside import launcher
import {modules}
sys.path[:] = plain
launcher.main({control})
"""


class NativeSandbox:
    """Sessions started by a clean helper process, one for each controller.

    cgroup: give each session a memory cgroup where this process may make one.
    """

    name: str
    isolation: Isolation
    _workspace = "/workspace"

    def __init__(self, preload: Preload | None = None, *, cgroup: bool = True) -> None:
        self._preload = preload or Preload((), ())
        self._cgroup = cgroup
        self._launcher: LauncherProcess | None = None
        self._sessions: weakref.WeakSet[Session] = weakref.WeakSet()
        self._lock = threading.Lock()

    def start(
        self,
        tree: Path | None,
        *,
        limits: Limits = Limits(),  # noqa: B008  frozen
        mounts: Sequence[Mount] = (),
        env: Mapping[str, str] | None = None,
    ) -> Session:
        spec = self._spec(tree, limits, mounts, env or {})
        if len(json.dumps(spec)) > 1 << 16:
            raise BadOption("start: mounts and env together must be at most 64 KiB")
        session = Session(
            lambda: self._connect(spec),
            workspace=self._workspace,
            limits=limits,
            preloaded=self._preload.modules,
        )
        self._sessions.add(session)
        return session

    def close(self) -> None:
        for session in list(self._sessions):
            session.close()
        with self._lock:
            if self._launcher:
                self._launcher.close()
            self._launcher = None

    def _interpreter(self) -> Interpreter:
        return own_interpreter()

    def _spec(
        self, tree: Path | None, limits: Limits, mounts: Sequence[Mount], env: Mapping[str, str]
    ) -> dict[str, Any]:
        interpreter = self._interpreter()
        return {
            "kind": self.name,
            "tree": str(_existing(tree, folder=True)) if tree else None,
            # Of what the task names, files only their owner may read are shown as well.
            "mounts": [
                *(_shown(mount, mapped=False) for mount in interpreter.mounts),
                *(_shown(mount, mapped=True) for mount in mounts),
            ],
            "hidden": interpreter.hidden,
            "covered": interpreter.covered,
            "links": dict(interpreter.links),
            "limits": asdict(limits),
            "cgroup": self._cgroup,
            "environment": {**BASE_ENVIRONMENT, **env},
        }

    def _connect(self, spec: dict[str, Any]) -> Connection:
        with self._lock:
            if self._launcher is None or not self._launcher.usable():
                self._launcher = LauncherProcess(self._preload)
            launcher = self._launcher
        return launcher.start(spec)


class NamespaceSandbox(NativeSandbox):
    """User namespaces, from this library's own launcher; see ``srl_env.sandbox``."""

    name = "namespaces"
    isolation: Isolation = "full"


class LocalSandbox(NativeSandbox):
    """No isolation: a copy of the tree, limits, an end to what was started. Trusted code only."""

    name = "local"
    isolation: Isolation = "none"
    _workspace = "."

    def _spec(
        self, tree: Path | None, limits: Limits, mounts: Sequence[Mount], env: Mapping[str, str]
    ) -> dict[str, Any]:
        for mount in mounts:
            if mount.target not in (None, str(mount.source.absolute())):
                raise BadOption(
                    f"Mount: target must be {mount.source} itself in the {self.name} backend; "
                    f"got {mount.target}"
                )
        folder = os.path.dirname(self._interpreter().executable)
        return super()._spec(tree, limits, mounts, {"PATH": f"{folder}:{PATH}", **env})


class LandlockSandbox(LocalSandbox):
    """Landlock and the system-call filter, without namespaces; see ``srl_env.sandbox``."""

    name = "landlock"
    isolation: Isolation = "weak"

    def _interpreter(self) -> Interpreter:
        return system_interpreter() if os.geteuid() == 0 else own_interpreter()


class LauncherProcess:
    """The helper process, and the socket it takes start requests from."""

    def __init__(self, preload: Preload) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._owner = os.getpid()
        program = _MAIN.format(
            folders=[str(_HERE), *(str(folder.resolve()) for folder in preload.folders)],
            modules=", ".join(("sys", *preload.modules)),
            control=theirs.fileno(),
        )
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, *_CLEAN, "-c", program],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=_launcher_environment(),
                cwd="/",
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._finalizer = weakref.finalize(self, _end, self._socket, self._process, self._owner)

    def usable(self) -> bool:
        """Whether it runs, and was started by this process and not by one this was forked from."""
        return self._owner == os.getpid() and self._process.poll() is None

    def start(self, spec: dict[str, Any]) -> Connection:
        """A connection to the keeper of a new session. Raises SandboxFailure."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                socket.send_fds(self._socket, [json.dumps(spec).encode()], [theirs.fileno()])
        except OSError as error:
            ours.close()
            raise SandboxFailure(f"the launcher is gone: {error}") from error
        return SocketConnection(ours)

    def close(self) -> None:
        self._finalizer()


def _end(connection: socket.socket, process: subprocess.Popen[bytes], owner: int) -> None:
    connection.close()
    if os.getpid() == owner:
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _launcher_environment() -> dict[str, str]:
    """What the interpreter itself may need to start; nothing else of the controller's."""
    names = ("LD_LIBRARY_PATH", "PYTHONHOME")
    found = {name: os.environ[name] for name in names if name in os.environ}
    return {**found, "PYTHONHASHSEED": "0", "LANG": "C.UTF-8"}


def _shown(mount: Mount, *, mapped: bool) -> dict[str, Any]:
    target = mount.target or str(mount.source.absolute())
    if not target.startswith("/") or ".." in target.split("/") or target == "/":
        raise BadOption(f"Mount: target must be an absolute path without '..'; got {target!r}")
    return {"source": str(_existing(mount.source)), "target": target.rstrip("/"), "mapped": mapped}


def _existing(path: Path, *, folder: bool = False) -> Path:
    if not (path.is_dir() if folder else path.exists()):
        kind = "an existing folder" if folder else "an existing file or folder"
        raise BadOption(f"start: the path must be {kind}; got {path}")
    return path.resolve()
