"""The keeper: process 1 of a session, which runs its commands and handles its files.

It reads requests from a wire and answers each one: run, read, write, changes, apply. Each
command gets a process group of its own, limits, a filter and /dev/null for input; when it
ends, for whatever reason, every process left in the session is killed and reaped before the
answer goes out. When the wire closes, the session ends.
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
import traceback
import warnings  # noqa: F401  (os.execvpe loads it late, when its file is out of sight)
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

from . import kernel
from .memory import Memory, too_many_locks
from .seccomp import PR_SET_THP_DISABLE, seccomp_program
from .wire import Header, Wire
from .workspace import Workspace

WATCH_EVERY_S: Final = 0.03
WATCH_PAUSE, WATCH_AT_LEAST_EVERY_S = 4, 0.15  # the pause is so many times as long as the look
EMPTYING_S: Final = 20.0
REPORT_DESCRIPTOR: Final = 3
_READ_AT_ONCE: Final = 1 << 16


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


@dataclass(repr=False)  # signal.signal() makes the text of the old handler, a method, each time
class Keeper:
    """One session as seen from inside.

    namespace: this process is number 1 of a PID namespace, so that kill(-1) is its own.
    folder: the workspace's path for commands.
    memory: what bounds the memory of commands.
    confine: what each command's process does last before exec (Landlock; nothing elsewhere).
    """

    wire: Wire
    workspace: Workspace
    folder: str
    limits: dict[str, Any]
    environment: dict[str, str]
    memory: Memory
    namespace: bool
    limit_processes: bool = True
    confine: Callable[[], None] = lambda: None
    _deadline: float = field(default=0.0, init=False)
    _late: bool = field(default=False, init=False)

    def serve(self) -> None:
        """Answers requests until the wire closes."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGALRM, self._time_is_up)
        with contextlib.suppress(EOFError, OSError):
            self.wire.send({"ready": True, "cgroup": not self.memory.strict})
            while True:
                header, payload = self.wire.receive()
                self.wire.send(*self._answer(header, payload))

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
        ended, status = "exited", None
        watch_at = started + WATCH_EVERY_S
        while status is None:
            now = time.monotonic()
            if now >= watch_at:
                ended = self._excess(killed) or ended
                looked = time.monotonic()
                pause_s = min(WATCH_PAUSE * (looked - now), WATCH_AT_LEAST_EVERY_S)
                watch_at = looked + max(WATCH_EVERY_S, pause_s)
            if self._late:
                break
            if command.output.total + command.report.total > self.limits["output_kill_bytes"]:
                ended = "output"
            if ended != "exited":
                break
            try:
                status = command.wait(watch_at, self.wire.reading)
            except ControllerGone:
                self._empty(command.process, None)
                os._exit(0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        if ended == "exited" and self._late:
            ended = "timeout"
        if ended == "exited" and self.memory.killed() > killed:
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
            "report_bytes": command.report.total,
        }
        return reply, output + report

    def _time_is_up(self, *_: object) -> None:
        """Kills at once, whatever the keeper is doing: a look at many processes takes long."""
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
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
                signal.signal(number, signal.SIG_DFL)
            for number in (signal.SIGXFSZ, signal.SIGALRM):
                signal.signal(number, signal.SIG_DFL)
            os.nice(1)
            self._limit(header["timeout_s"])
            self.confine()
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
        os.environ.clear()
        os.environ.update(self.environment | header["env"])
        sys.argv[:] = [header["module"]]
        status = 0
        try:
            sys.modules[header["module"]].main()
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else int(error.code is not None)
        except BaseException:  # noqa: BLE001  the boundary of what would be a program
            traceback.print_exc()
            status = 1
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
            os._exit(status)

    def _limit(self, timeout_s: float) -> None:
        limits = self.limits
        cpu_s = int(timeout_s) + 2
        for number, value in (
            (resource.RLIMIT_CPU, cpu_s),
            (resource.RLIMIT_FSIZE, limits["file_bytes"]),
            (resource.RLIMIT_AS, limits["address_space_bytes"]),
            (resource.RLIMIT_NOFILE, limits["open_files"]),
            (resource.RLIMIT_CORE, 1),  # 1 keeps a piped core handler from starting, 0 does not
            (resource.RLIMIT_MSGQUEUE, 0),
            (resource.RLIMIT_MEMLOCK, 0),
            (resource.RLIMIT_SIGPENDING, 256),
        ):
            resource.setrlimit(number, (value, value))
        if self.limit_processes:
            resource.setrlimit(resource.RLIMIT_NPROC, (limits["processes"],) * 2)

    def _empty(self, process: int, status: int | None) -> int:
        """Kills and reaps all but the keeper; the command's wait status comes back."""
        give_up = time.monotonic() + EMPTYING_S
        while True:
            self._kill_all()
            try:
                while found := os.waitpid(-1, os.WNOHANG):
                    if found[0] == 0:
                        break
                    if found[0] == process:
                        status = found[1]
            except ChildProcessError:
                assert status is not None
                return status
            if time.monotonic() > give_up:
                os._exit(3)  # takes the namespace along; the controller reads a dead sandbox
            time.sleep(0.0003)

    def _kill_all(self) -> None:
        if self.namespace:
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

        killed: processes the kernel had killed for want of memory when the command began.
        """
        processes = _all_processes() if self.namespace else descendants(os.getpid())
        if self.namespace and _sockets() > self.limits["sockets"]:
            return "sockets"
        if len(processes) > self.limits["processes"]:
            return "processes"
        if self.memory.killed() > killed or (self.namespace and too_many_locks()):
            return "memory"
        return "memory" if self.memory.over(processes, self.limits["memory_bytes"]) else None


@dataclass
class _Output:
    """What came out of a pipe: the first and the last half of `keep` bytes, and how many."""

    keep: int
    head: bytearray = field(default_factory=bytearray)
    tail: bytearray = field(default_factory=bytearray)
    total: int = 0

    def add(self, data: bytes) -> None:
        self.total += len(data)
        room = self.keep // 2 - len(self.head)
        self.head += data[:room]
        self.tail += data[room:]
        if len(self.tail) > 2 * self.keep:
            del self.tail[: -self.keep // 2]

    def kept(self) -> bytes:
        spare = self.keep - len(self.head)
        return bytes(self.head + (self.tail[-spare:] if spare else b""))


class _Command:
    """A running command and the pipes from it."""

    def __init__(self, keeper: Keeper, header: Header, stdin: bytes) -> None:
        limits = keeper.limits
        self.output = _Output(limits["output_keep_bytes"])
        self.report = _Output(limits["output_keep_bytes"])
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
            ready = poll.poll(max(0.0, left_s) * 1000)
            if not ready:
                return None
            for descriptor, _ in ready:
                if descriptor == wire:
                    raise ControllerGone  # for nobody speaks while a command runs
                if descriptor in self._pipes and not self._take(descriptor):
                    poll.unregister(descriptor)
                    self._close(descriptor)
            if any(descriptor == self._handle for descriptor, _ in ready):
                return os.waitpid(self.process, 0)[1]
            if left_s <= 0 or self.output.total + self.report.total > self.output.keep:
                return None

    def _take(self, pipe: int) -> bool:
        """Reads once; False at the end of the pipe."""
        try:
            data = os.read(pipe, _READ_AT_ONCE)
        except BlockingIOError:
            return True
        self._pipes[pipe].add(data)
        return bool(data)

    def drain(self) -> None:
        """Takes what is left in the pipes; everyone who could write is dead."""
        for pipe in list(self._pipes):
            with contextlib.suppress(BlockingIOError):
                while data := os.read(pipe, _READ_AT_ONCE):
                    self._pipes[pipe].add(data)
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
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _all_processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdecimal() and name != "1"]


def _sockets() -> int:
    """Sockets of the network namespace, closed ones included whose data someone still holds."""
    with contextlib.suppress(OSError), open("/proc/net/sockstat") as file:
        return int(file.readline().split()[2])
    return 0
