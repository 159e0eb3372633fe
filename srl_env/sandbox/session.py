"""A session as the controller holds it: requests to its keeper, over whatever wire leads there."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Final, Self

from srl_env.errors import BadOption, SandboxDied, SandboxFailure
from srl_env.sandbox.command import CommandResult
from srl_env.sandbox.inside.wire import Header, Wire, readable
from srl_env.sandbox.limits import Limits
from srl_env.sandbox.snapshot import SNAPSHOT_BYTES, Change, Snapshot
from srl_env.seconds import check_seconds

START_S: Final = 35.0
_ANSWER_S: Final = 30.0
_END_S: Final = 10.0


class Connection(ABC):
    """A wire to a keeper, and a way to end it whatever it does.

    cgroup: whether its commands are in their own memory cgroup.
    Raises SandboxFailure where the session cannot be set up.
    """

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        try:
            self.cgroup = self._await_ready()
        except BaseException:
            self.close()
            raise

    def _await_ready(self) -> bool:
        """Whether the session has a memory cgroup, once it is ready."""
        try:
            reply = self.wire.receive(START_S)[0]
        except (EOFError, OSError, ValueError) as error:
            raise SandboxFailure(f"the session could not be set up: {error}") from error
        if "failed" in reply:
            raise SandboxFailure(f"the session could not be set up: {reply['failed']}")
        return bool(reply["cgroup"])

    @abstractmethod
    def close(self) -> None:
        """Ends the keeper and all in its session; raises SandboxDied where it will not."""


class SocketConnection(Connection):
    """A keeper started by the launcher, held by a socket and a handle on its process."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket, self._handle = connection, -1
        super().__init__(Wire(connection.fileno(), connection.fileno()))

    def _await_ready(self) -> bool:
        if not readable(self._socket.fileno(), START_S):
            raise SandboxFailure(f"no session after {START_S:g} s")
        data, descriptors, _, _ = socket.recv_fds(self._socket, 1, 1)
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
            self._handle = descriptor
        if not data:
            raise SandboxFailure("the launcher died while a session was being started")
        return super()._await_ready()

    def close(self) -> None:
        self._socket.close()
        if self._handle < 0:
            return
        handle, self._handle = self._handle, -1
        try:
            if not readable(handle, _END_S):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
                if not readable(handle, _END_S):
                    raise SandboxDied("a session's first process does not die when killed")
        finally:
            os.close(handle)


class ProcessConnection(Connection):
    """A keeper that is a child of this process and speaks over its standard streams."""

    def __init__(self, process: subprocess.Popen[bytes], remove: Callable[[], None]) -> None:
        assert process.stdin
        assert process.stdout
        self._process, self._remove = process, remove
        super().__init__(Wire(process.stdout.fileno(), process.stdin.fileno()))

    def close(self) -> None:
        with self._process:  # closes the streams and waits
            with contextlib.suppress(OSError):
                if self._process.stdin:
                    self._process.stdin.close()
            try:
                self._process.wait(_END_S)
            except subprocess.TimeoutExpired:
                self._remove()
                self._process.kill()


class Session:
    """A workspace over a tree, and commands in it. For one thread at a time.

    Every method raises SandboxDied where the session is dead, which must not become an observation
    or a reward. ``srl_env.verifiers.responsibility`` decides who is responsible.

    open_connection starts a keeper on a fresh workspace: once here, and again to restore.
    workspace: its path as commands see it. preloaded: modules that `call` can run.
    """

    def __init__(
        self,
        open_connection: Callable[[], Connection],
        *,
        workspace: str,
        limits: Limits,
        preloaded: Sequence[str] = (),
    ) -> None:
        self._open, self.workspace, self.limits = open_connection, workspace, limits
        self.preloaded = frozenset(preloaded)
        self._connection: Connection | None = None
        self._hold(open_connection())

    @property
    def cgroup(self) -> bool:
        """Whether the kernel counts its memory, in a cgroup; else the keeper adds it up."""
        return self._live().cgroup

    def run(
        self,
        command: str | Sequence[str],
        *,
        timeout_s: float | None = None,
        folder: str = "",
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        report: bool = False,
    ) -> CommandResult:
        """Runs a command and ends everything it started.

        command: arguments, or text for ``bash -c``. folder: where, relative to the workspace.
        report: collect what goes to descriptor 3.
        """
        what = {"command": _arguments(command), "folder": _checked("folder", folder)}
        return self._run(what, stdin, timeout_s, env, report)

    def call(
        self,
        module: str,
        *,
        timeout_s: float | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        report: bool = False,
    ) -> CommandResult:
        """Runs `main()` of a preloaded module as a command, without starting an interpreter.

        Its process begins as a copy of the keeper, with the session's description in memory and
        no secret. Raises BadOption for a module that was not preloaded.
        """
        if module not in self.preloaded:
            raise BadOption(f"call: {module!r} was not preloaded; known: {sorted(self.preloaded)}")
        what = {"command": [module], "folder": "", "module": module}
        return self._run(what, stdin, timeout_s, env, report)

    def _run(
        self,
        what: Header,
        stdin: bytes,
        timeout_s: float | None,
        env: Mapping[str, str] | None,
        report: bool,
    ) -> CommandResult:
        limit_s = self.limits.timeout_s
        timeout_s = limit_s if timeout_s is None else check_seconds("run: timeout_s", timeout_s)
        env = {_checked("env", k): _checked("env", v) for k, v in (env or {}).items()}
        header = {"do": "run", **what, "timeout_s": timeout_s, "env": env, "report": report}
        try:
            reply, data = self._request(header, stdin, timeout_s + _ANSWER_S)
        except OSError as error:
            raise SandboxDied(f"a command could not be started: {error}") from error
        size = reply.pop("output")
        return CommandResult(output=data[:size], report=data[size:], **reply)

    def read(self, path: str, max_bytes: int = 16 << 20) -> bytes:
        """A regular file of the workspace.

        Raises OSError as open() does; ELOOP for symlinks, EFBIG above max_bytes.
        """
        return self._request({"do": "read", "path": path, "max_bytes": max_bytes})[1]

    def write(self, path: str, data: bytes, mode: int | None = None) -> None:
        """Writes a file of the workspace, making the folders above it. Raises OSError."""
        self._request({"do": "write", "path": path, "mode": mode}, data)

    def changes(self, max_entries: int = 100_000) -> list[Change]:
        """What differs from the tree, parents first. Raises OSError EFBIG above max_entries."""
        header = {"do": "changes", "contents": False, "max_bytes": 0, "max_entries": max_entries,
                  "without": []}  # fmt: skip
        return [Change(**entry) for entry in self._request(header)[0]["entries"]]

    def snapshot(
        self,
        max_bytes: int = SNAPSHOT_BYTES,
        max_entries: int = 100_000,
        without: Sequence[str] = (),
    ) -> Snapshot:
        """The workspace as it is, except the paths in ``without``.

        Raises OSError EFBIG above max_bytes of contents, max_entries, or 32 MiB of names.
        """
        bounds = {"max_bytes": max_bytes, "max_entries": max_entries, "without": list(without)}
        reply, data = self._request({"do": "changes", "contents": True, **bounds})
        changes, contents, left_out, at = [], [], [], 0
        for change in (Change(**entry) for entry in reply["entries"]):
            if change.kind == "special" and change.change != "deleted":
                left_out.append(change.path)
                continue
            changes.append(change)
            contents.append(data[at : at + change.size])
            at += change.size
        return Snapshot(tuple(changes), tuple(contents), tuple(left_out))

    def restore(self, snapshot: Snapshot) -> None:
        """Makes the workspace what it was; /tmp and /dev/shm are empty afterwards.

        Raises as `apply` does.
        """
        snapshot.check()
        self._request({"do": "apply", "entries": []})  # raises where the session is dead
        fresh = self._open()
        self.close()
        self._hold(fresh)
        self.apply(snapshot)

    def apply(self, snapshot: Snapshot) -> None:
        """Makes a snapshot's changes on top of the workspace as it is.

        Raises BadOption, with nothing changed, for an invalid snapshot; OSError.
        """
        snapshot.check()
        entries = [asdict(change) for change in snapshot.changes]
        self._request({"do": "apply", "entries": entries}, b"".join(snapshot.contents))

    def close(self) -> None:
        """Ends the session; no process of it is left when this returns."""
        self._connection = None
        self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _hold(self, connection: Connection) -> None:
        self._connection = connection
        self._finalizer = weakref.finalize(self, connection.close)

    def _live(self) -> Connection:
        if self._connection is None:
            raise SandboxDied("the session is closed, or died earlier")
        return self._connection

    def _request(
        self, header: Header, payload: bytes = b"", timeout_s: float = 2 * _ANSWER_S
    ) -> tuple[Header, bytes]:
        wire = self._live().wire
        try:
            wire.send(header, payload)
            reply, data = wire.receive(timeout_s)
        except (EOFError, OSError, ValueError) as error:
            self.close()
            raise SandboxDied(
                f"the sandbox died during {header['do']!r} ({type(error).__name__}: {error})"
            ) from error
        except BaseException:  # an interrupt in the middle of a frame: the wire is of no use
            self.close()
            raise
        if "failed" in reply:  # the last word of a keeper
            self.close()
            raise SandboxDied(f"the sandbox died during {header['do']!r}: {reply['failed']}")
        if "errno" in reply:
            raise OSError(reply["errno"], reply["strerror"], reply["path"])
        return reply, data


def _arguments(command: str | Sequence[str]) -> list[str]:
    if isinstance(command, str):
        command = ["bash", "-c", command]
    if not command:
        raise BadOption("run: the command is empty")
    return [_checked("command", part) for part in command]


def _checked(what: str, text: str) -> str:
    if "\0" in text:
        raise BadOption(f"run: {what} must not hold a NUL character, which no process accepts")
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        raise BadOption(f"run: {what} must be valid Unicode; got a lone surrogate") from None
    return text
