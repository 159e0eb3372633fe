"""The keeper: process 1 of a session. It runs the session's commands and handles its files.

It answers requests from a wire: run, read, write, changes, apply. Each command gets its own
process group, limits, a system-call filter and /dev/null for input. When a command ends, for
whatever reason, the keeper kills and reaps every process left in the session, then answers. The
session ends when the wire closes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import select
import signal
import sys
import time
import warnings  # noqa: F401  (os.execvpe loads it late, when its file is out of sight)
from collections.abc import Callable
from typing import Any, Final, NoReturn

from . import kernel
from .memory import Memory, too_many_locks
from .seccomp import PR_SET_THP_DISABLE, seccomp_program
from .wire import Header, Wire, write_all
from .workspace import Workspace

WATCH_EVERY_S: Final = 0.03
WATCH_PAUSE, WATCH_AT_LEAST_EVERY_S = 4, 0.15  # the pause is 4 times as long as the check
EMPTYING_S: Final = 20.0
REPORT_DESCRIPTOR: Final = 3
_READ_AT_ONCE: Final = 1 << 16
# signal.signal() itself, without the look-up of the old handler in an enum: that costs 0.1 ms.
_set_signal: Final = getattr(signal.signal, "__wrapped__", signal.signal)
_IGNORED: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class ControllerGone(Exception):
    """The wire was closed while a command ran: not an error, but the end of the session."""


def give_up_rights(memory: Memory, *, filtered: bool = True) -> None:
    """Leaves the calling process without capabilities, out of others' reach, and filtered."""
    os.umask(0o022)
    kernel.drop_capabilities()
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    if memory.strict:
        kernel.prctl(PR_SET_THP_DISABLE, 1)
    if filtered:
        filter_calls(memory)


def filter_calls(memory: Memory) -> None:
    """Puts the system-call filter on the calling process."""
    kernel.set_seccomp(seccomp_program(kernel.MACHINE, strict=memory.strict))


class Keeper:
    """One session as seen from inside.

    folder: the workspace's path for commands. spec: the session's limits and environment.
    memory: what bounds the memory of commands.
    namespace: this process is number 1 of a PID namespace, so that kill(-1) is its own.
    confine: what each command's process does last before exec (Landlock).
    """

    def __init__(
        self,
        wire: Wire,
        workspace: Workspace,
        folder: str,
        spec: dict[str, Any],
        memory: Memory,
        *,
        namespace: bool,
        limit_processes: bool = True,
        confine: Callable[[], None] = lambda: None,
    ) -> None:
        self.wire, self.workspace, self.folder, self.memory = wire, workspace, folder, memory
        self.limits, self.environment = spec["limits"], spec["environment"]
        self._namespace, self._limit_processes = namespace, limit_processes
        self._confine = confine
        self._deadline, self._late = 0.0, False

    def serve(self) -> None:
        """Answers requests until the wire closes."""
        for number in _IGNORED:
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGALRM, self._time_is_up)
        with contextlib.suppress(EOFError, OSError):
            self.wire.send({"ready": True, "cgroup": not self.memory.strict})
            while True:
                self.wire.send(*self._answer(*self.wire.receive()))

    def _answer(self, header: Header, payload: bytes) -> tuple[Header, bytes]:
        try:
            match header["do"]:
                case "run":
                    return self._run(header, payload)
                case "read":
                    return {}, self.workspace.read(header["path"], header["max_bytes"])
                case "write":
                    self.workspace.write(header["path"], payload, header["mode"])
                case "changes":
                    found = self.workspace.changes(
                        contents=header["contents"],
                        max_bytes=header["max_bytes"],
                        max_entries=header["max_entries"],
                        without=header["without"],
                    )
                    return {"entries": found.entries}, b"".join(found.payload)
                case "apply":
                    self.workspace.apply(header["entries"], payload)
                case unknown:
                    raise AssertionError(f"request {unknown!r}")
        except OSError as error:
            reply = {"errno": error.errno, "strerror": error.strerror or str(error)}
            return reply | {"path": error.filename}, b""
        except UnicodeError as error:  # a path that no file can have
            return {"errno": errno.EILSEQ, "strerror": str(error), "path": None}, b""
        return {}, b""

    def _run(self, header: Header, stdin: bytes) -> tuple[Header, bytes]:
        started = time.monotonic()
        killed = self.memory.killed()
        self._late, self._deadline = False, started + header["timeout_s"]
        signal.setitimer(signal.ITIMER_REAL, header["timeout_s"])
        command = _Command(self, header, stdin)
        try:
            ended, status = self._watch(command, started, killed)
        except ControllerGone:
            self._empty(command.process, None)
            os._exit(0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        if ended == "exited" and self._late:
            ended = "timeout"
        elif ended == "exited" and self.memory.killed() > killed:
            ended = "memory"
        status = self._empty(command.process, status)
        command.drain()
        output, report = command.output.kept(), command.report.kept()
        reply = {
            "ended": ended,
            "status": os.waitstatus_to_exitcode(status),
            "wall_s": time.monotonic() - started,
            "output": len(output),
            "output_bytes": command.output.total,
        }
        return reply, output + report

    def _watch(self, command: _Command, started: float, killed: int) -> tuple[str, int | None]:
        """Waits until the command ends or is over a limit; says which, and its wait status."""
        watch_at = started + WATCH_EVERY_S
        while not self._late:
            if (now := time.monotonic()) >= watch_at:
                if excess := self._excess(killed):
                    return excess, None
                looked = time.monotonic()
                pause_s = min(WATCH_PAUSE * (looked - now), WATCH_AT_LEAST_EVERY_S)
                watch_at = looked + max(WATCH_EVERY_S, pause_s)
                if self._late:
                    break
            if command.output.total + command.report.total > self.limits["output_kill_bytes"]:
                return "output", None
            if (status := command.wait(watch_at, self.wire.reading)) is not None:
                return "exited", status
        return "exited", None

    def _time_is_up(self, *_: object) -> None:
        """Kills at once, whatever the keeper is doing: checking many processes takes long."""
        if time.monotonic() >= self._deadline:  # commands may send the signal, too
            self._late = True
            self._kill_all()

    def start(self, header: Header, stdin: int, output: int, report: int) -> NoReturn:
        """Becomes the command; called in a fork of the keeper."""
        try:
            self.memory.join()
            os.setsid()
            for target, source in ((0, stdin), (1, output), (2, output)):
                os.dup2(source, target)
            if report >= 0:
                os.dup2(report, REPORT_DESCRIPTOR)
            os.closerange(REPORT_DESCRIPTOR + (report >= 0), 1 << 20)
            os.chdir(os.path.join(self.folder, header["folder"]))
            for number in (*_IGNORED, signal.SIGPIPE, signal.SIGXFSZ):
                _set_signal(number, signal.SIG_DFL)
            os.nice(1)
            self._limit(header["timeout_s"])
            self._confine()
            if "module" in header:
                self._call(header)
            os.execvpe(header["command"][0], header["command"], self.environment | header["env"])
        except (OSError, UnicodeError) as error:
            why = getattr(error, "strerror", error)
            os.write(2, f"{header['command'][0]}: {why}\n".encode(errors="replace"))
        finally:
            os._exit(127)

    def _call(self, header: Header) -> NoReturn:
        """Runs a module that is in memory already, as a fresh interpreter would."""
        kernel.prctl(kernel.PR_SET_DUMPABLE, 1)
        _set_signal(signal.SIGALRM, signal.SIG_DFL)  # exec does so by itself
        os.environ.clear()
        os.environ.update(self.environment | header["env"])
        sys.argv[:] = [header["module"]]
        status = 0
        try:
            sys.modules[header["module"]].main()
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else int(error.code is not None)
        except BaseException:  # noqa: BLE001  the outermost frame of what would be a program
            sys.__excepthook__(*sys.exc_info())
            status = 1
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
            os._exit(status)

    def _limit(self, timeout_s: float) -> None:
        limits = self.limits
        for number, value in (
            (resource.RLIMIT_CPU, int(timeout_s) + 2),
            (resource.RLIMIT_FSIZE, limits["file_bytes"]),
            (resource.RLIMIT_AS, limits["address_space_bytes"]),
            (resource.RLIMIT_NOFILE, limits["open_files"]),
            (resource.RLIMIT_CORE, 1),  # 1 keeps a piped core handler from starting, 0 does not
            (resource.RLIMIT_MSGQUEUE, 0),
            (resource.RLIMIT_MEMLOCK, 0),
            (resource.RLIMIT_SIGPENDING, 256),
        ):
            resource.setrlimit(number, (value, value))
        if self._limit_processes:
            resource.setrlimit(resource.RLIMIT_NPROC, (limits["processes"],) * 2)

    def _empty(self, process: int, status: int | None) -> int:
        """Kills and reaps all but the keeper; the command's wait status comes back."""
        give_up = time.monotonic() + EMPTYING_S
        while True:
            self._kill_all()
            try:
                while (found := os.waitpid(-1, os.WNOHANG))[0]:
                    if found[0] == process:
                        status = found[1]
            except ChildProcessError:
                assert status is not None
                return status
            if time.monotonic() > give_up:
                os._exit(3)  # takes the namespace along; the controller reads a dead sandbox
            time.sleep(0.0003)

    def _kill_all(self) -> None:
        if self._namespace:
            assert os.getpid() == 1
            with contextlib.suppress(ProcessLookupError):
                os.kill(-1, signal.SIGKILL)
            return
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for process in descendants(os.getpid()):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(process, number)

    def _excess(self, killed: int) -> str | None:
        """Which limit the session's processes are over, summed up; None where under all.

        killed: processes the kernel had killed over memory when the command began.
        """
        processes = _all_processes() if self._namespace else descendants(os.getpid())
        if self._namespace and _sockets() > self.limits["sockets"]:
            return "sockets"
        if len(processes) > self.limits["processes"]:
            return "processes"
        if self.memory.killed() > killed or (self._namespace and too_many_locks()):
            return "memory"
        return "memory" if self.memory.over(processes, self.limits["memory_bytes"]) else None


class _Output:
    """What came out of a pipe: the first and the last half of `keep` bytes, and how many."""

    def __init__(self, keep: int) -> None:
        self.keep, self.total = keep, 0
        self._head, self._tail = bytearray(), bytearray()

    def add(self, data: bytes) -> None:
        self.total += len(data)
        room = self.keep // 2 - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        if len(self._tail) > 2 * self.keep:
            del self._tail[: -self.keep // 2]

    def kept(self) -> bytes:
        spare = self.keep - len(self._head)
        return bytes(self._head + (self._tail[-spare:] if spare else b""))


class _Command:
    """A running command and the pipes from it."""

    def __init__(self, keeper: Keeper, header: Header, stdin: bytes) -> None:
        keep = keeper.limits["output_keep_bytes"]
        self.output, self.report = _Output(keep), _Output(keep)
        self._pipes: dict[int, _Output] = {}
        given = _as_file(stdin, keeper.environment["TMPDIR"])
        ends = [self._pipe(self.output)]
        ends.append(self._pipe(self.report) if header["report"] else -1)
        self.process = os.fork()
        if self.process == 0:
            keeper.start(header, given, *ends)
        for descriptor in (given, *ends):
            if descriptor >= 0:
                os.close(descriptor)
        self._handle = os.pidfd_open(self.process)

    def _pipe(self, output: _Output) -> int:
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        self._pipes[reading] = output
        return writing

    def wait(self, until: float, wire: int) -> int | None:
        """Takes output until the command ends or the time comes; its wait status, or None."""
        poll = select.poll()
        for descriptor in (*self._pipes, self._handle, wire):
            poll.register(descriptor, select.POLLIN)
        while True:
            left_s = until - time.monotonic()
            ready = {descriptor for descriptor, _ in poll.poll(max(0.0, left_s) * 1000)}
            if wire in ready:
                raise ControllerGone  # for nobody speaks while a command runs
            for pipe in ready & self._pipes.keys():
                with contextlib.suppress(BlockingIOError):
                    if not self._take(pipe):
                        poll.unregister(pipe)
                        self._close(pipe)
            if self._handle in ready:
                return os.waitpid(self.process, 0)[1]
            if not ready or left_s <= 0 or self.output.total + self.report.total > self.output.keep:
                return None

    def _take(self, pipe: int) -> bool:
        """Reads once; False at the end of the pipe. Raises BlockingIOError where it is empty."""
        data = os.read(pipe, _READ_AT_ONCE)
        self._pipes[pipe].add(data)
        return bool(data)

    def drain(self) -> None:
        """Takes what is left in the pipes; everyone who could write is dead."""
        for pipe in list(self._pipes):
            with contextlib.suppress(BlockingIOError):
                while self._take(pipe):
                    pass
            self._close(pipe)
        os.close(self._handle)

    def _close(self, pipe: int) -> None:
        del self._pipes[pipe]
        os.close(pipe)


def descendants(process: int) -> list[int]:
    """All processes below one, without it."""
    found: list[int] = []
    pending = [process]
    while pending:
        current = pending.pop()
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{current}/task"):
                with open(f"/proc/{current}/task/{thread}/children") as file:
                    below = [int(number) for number in file.read().split()]
                found += below
                pending += below
    return found


def _as_file(data: bytes, folder: str) -> int:
    """A descriptor from which the data can be read: a nameless file, or /dev/null for none."""
    if not data:
        return os.open(os.devnull, os.O_RDONLY)
    descriptor = os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o600)
    write_all(descriptor, data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _all_processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdecimal() and name != "1"]


def _sockets() -> int:
    """Sockets of the network namespace, closed ones included whose data someone still holds."""
    with contextlib.suppress(OSError), open("/proc/net/sockstat") as file:
        return int(file.readline().split()[2])
    return 0
