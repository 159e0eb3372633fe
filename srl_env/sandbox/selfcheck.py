"""The promises of a sandbox, run against a backend: what any of them must pass.

``self_check(NamespaceSandbox)`` starts real sessions, takes a second or two, and says by name
what held. Each promise is a function that raises AssertionError with what was found instead.
"""

from __future__ import annotations

import errno
import os
import tempfile
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from srl_env.errors import SandboxFailure
from srl_env.sandbox.backends import Sandbox
from srl_env.sandbox.limits import Isolation, Limits
from srl_env.sandbox.session import Session

SMALL: Final = Limits(
    timeout_s=15,
    memory_bytes=128 << 20,
    address_space_bytes=1 << 30,
    processes=32,
    files=500,
    workspace_bytes=8 << 20,
    scratch_bytes=4 << 20,
    file_bytes=4 << 20,
    output_kill_bytes=8 << 20,
)
Promise = Callable[[Session, Path], None]
"""Takes a session with SMALL limits, and the folder of the host in which its tree lies."""
_RANKS: Final[tuple[Isolation, ...]] = ("none", "weak", "full")
_PROMISES: Final[list[tuple[Isolation, Promise]]] = []
_FILES: Final = {
    "a.txt": "alpha\n",
    "b/c.txt": "gamma\n",
    "b/d.txt": "delta\n",
    "run.sh": "true\n",
}


@dataclass(frozen=True)
class SelfCheck:
    """Names of the promises that held; broken: names of the others, and what was found."""

    backend: str
    isolation: Isolation
    held: tuple[str, ...]
    broken: tuple[tuple[str, str], ...]

    def require(self) -> None:
        """Raises SandboxFailure unless every promise of this isolation held, and there were any."""
        if self.broken or not self.held:
            lines = "\n".join(f"- {name}: {found}" for name, found in self.broken)
            raise SandboxFailure(f"the {self.backend} sandbox breaks its promises:\n{lines}")


def self_check(sandbox_factory: Callable[[], Sandbox]) -> SelfCheck:
    """Runs every promise of the backend's isolation on it.

    sandbox_factory: makes the sandbox, e.g. the class. Raises what the factory raises.
    """
    sandbox = sandbox_factory()
    held, broken = [], []
    try:
        with tempfile.TemporaryDirectory(prefix="srl-self-check-") as folder:
            for name, promise in promises(sandbox.isolation):
                tree = Path(folder) / name
                _write_files(tree)
                try:
                    with sandbox.start(tree, limits=SMALL) as session:
                        promise(session, tree.parent)
                    held.append(name)
                except (AssertionError, OSError, SandboxFailure) as error:
                    broken.append((name, f"{type(error).__name__}: {error}"))
                if _read_files(tree) != _FILES:
                    broken.append((name, f"the tree itself changed: {_read_files(tree)}"))
    finally:
        sandbox.close()
    return SelfCheck(sandbox.name, sandbox.isolation, tuple(held), tuple(broken))


def promises(isolation: Isolation) -> list[tuple[str, Promise]]:
    """The promises a backend of this isolation makes, by name."""
    ranks = _RANKS[: _RANKS.index(isolation) + 1]
    return [(promise.__name__, promise) for rank, promise in _PROMISES if rank in ranks]


def _promise(isolation: Isolation) -> Callable[[Promise], Promise]:
    """Registers a promise of all backends that isolate at least so much."""

    def register(promise: Promise) -> Promise:
        _PROMISES.append((isolation, promise))
        return promise

    return register


@_promise("none")
def a_command_runs_in_a_copy_of_the_tree(session: Session, folder: Path) -> None:
    command = 'cat a.txt; echo "$GREETING $(pwd)" >> a.txt; exit 3'
    done = session.run(command, env={"GREETING": "hi"})
    _equal((done.ended, done.status, done.output), ("exited", 3, b"alpha\n"))
    lines = session.read("a.txt").decode().splitlines()
    _true(lines[1].startswith("hi /"), f"a.txt holds {lines}")


@_promise("none")
def arguments_and_input_arrive_unchanged(session: Session, folder: Path) -> None:
    code = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read() + sys.argv[1].encode())"
    done = session.run(["python3", "-c", code, "$(x) 'ü'"], stdin=b"\0\xff")
    _equal(done.output, b"\0\xff" + "$(x) 'ü'".encode())
    _equal(session.run("cat").output, b"")


@_promise("none")
def a_report_has_its_own_channel(session: Session, folder: Path) -> None:
    done = session.run("echo said; echo reported >&3", report=True)
    _equal((done.output, done.report), (b"said\n", b"reported\n"))


@_promise("none")
def an_endless_command_ends_and_the_session_goes_on(session: Session, folder: Path) -> None:
    started = time.monotonic()
    done = session.run("trap '' TERM INT HUP; while :; do :; done", timeout_s=0.3)
    _equal(done.ended, "timeout")
    _true(time.monotonic() - started < 5, "it took more than 5 s")
    _equal(session.run("echo on").output, b"on\n")


@_promise("none")
def nothing_a_command_started_outlives_it(session: Session, folder: Path) -> None:
    beat = "setsid bash -c 'while :; do echo x >> beat; sleep 0.01; done' &"
    session.run(f"({beat}) ; sleep 0.2")
    before = len(session.read("beat"))
    time.sleep(0.1)
    _equal(len(session.read("beat")), before)


@_promise("none")
def output_is_bounded(session: Session, folder: Path) -> None:
    done = session.run("echo first; yes")
    _equal(done.ended, "output")
    _true(len(done.output) <= SMALL.output_keep_bytes, f"{len(done.output)} bytes were kept")
    _true(done.output.startswith(b"first\n"), "the first line is not in what was kept")


@_promise("none")
def files_are_handled_without_following_links(session: Session, folder: Path) -> None:
    session.write("new/folder/f", b"\0\xff", 0o755)
    _equal(session.run("od -An -tx1 new/folder/f; test -x new/folder/f").output, b" 00 ff\n")
    session.run("ln -s /etc/passwd link; ln -s /etc up; mkfifo pipe")
    for path in ("link", "up/passwd", "pipe", "../a.txt", "/etc/passwd", ""):
        _refused(lambda path=path: session.read(path), path)  # type: ignore[misc]
        _refused(lambda path=path: session.write(path, b"x"), path)  # type: ignore[misc]
    _refused(lambda: session.read("missing"), "missing", errno.ENOENT)


@_promise("none")
def changes_are_listed(session: Session, folder: Path) -> None:
    _equal(session.changes(), [])
    session.run("echo more >> a.txt; rm b/c.txt; touch b/d.txt; echo x > new; chmod 700 run.sh")
    found = {(change.change, change.path) for change in session.changes()}
    expected = {("modified", "a.txt"), ("deleted", "b/c.txt"), ("added", "new")}
    _equal(found, expected | {("modified", "run.sh")})


@_promise("none")
def a_snapshot_brings_the_workspace_back(session: Session, folder: Path) -> None:
    listing = "find . -printf '%p %y %m %l\\n' | sort; cat $(find . -type f | sort)"
    session.run("rm -r b; mkdir -p b/e; echo deep > b/e/f; ln -s a.txt l; chmod 600 a.txt")
    before = session.run(listing).text()
    snapshot = session.snapshot()
    session.run("chmod 777 a.txt; rm -rf b l; echo other > g")
    session.restore(snapshot)
    _equal(session.run(listing).text(), before)
    _equal(session.snapshot(), snapshot)


@_promise("none")
def a_closed_session_is_a_failure_and_not_an_answer(session: Session, folder: Path) -> None:
    session.close()
    try:
        session.run("echo alive")
    except SandboxFailure:
        return
    raise AssertionError("a closed session answered")


@_promise("weak")
def files_of_the_host_are_out_of_reach(session: Session, folder: Path) -> None:
    secret = folder / "secret"
    secret.write_text("s3cret")
    done = session.run(f"cat {secret} /etc/shadow; echo > {secret}.made; ls {folder}")
    _true(b"s3cret" not in done.output and b"root:" not in done.output, done.text())
    _true(not Path(f"{secret}.made").exists(), "a file was made beside the tree")


@_promise("weak")
def there_is_no_network(session: Session, folder: Path) -> None:
    code = """
        import socket
        for family in (socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK, socket.AF_VSOCK):
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW):
                try:
                    socket.socket(family, kind)
                except OSError:
                    continue
                print("made", family, kind)
    """
    _equal(session.run(["python3", "-c", textwrap.dedent(code)]).text(), "")


@_promise("weak")
def commands_have_no_privileges(session: Session, folder: Path) -> None:
    _true(session.run("id -u").output.strip() != b"0", "commands run as root")
    done = session.run("unshare -Ur true || unshare -r true")
    _true(not done.ok, "a user namespace could be made inside")


@_promise("full")
def processes_of_the_host_are_out_of_sight(session: Session, folder: Path) -> None:
    code = "import os; print(*[p for p in os.listdir('/proc') if p.isdecimal()])"
    _equal(len(session.run(["python3", "-c", code]).output.split()), 2)
    _true(not session.run(f"kill -0 {os.getpid()}").ok, "the controller can be signalled")


@_promise("full")
def memory_is_bounded(session: Session, folder: Path) -> None:
    code = """
        import os, time
        for _ in range(4):
            if os.fork() == 0:
                held = bytearray(100 << 20)
                for at in range(0, len(held), 4096):
                    held[at] = 1
                time.sleep(9)
        time.sleep(9)
    """
    _equal(session.run(["python3", "-c", textwrap.dedent(code)]).ended, "memory")


@_promise("full")
def memory_that_no_process_shows_is_bounded(session: Session, folder: Path) -> None:
    code = """
        import mmap, time
        kept = []
        for _ in range(12):
            kept.append(mmap.mmap(-1, 32 << 20))
            for at in range(0, 32 << 20, 1 << 20):
                kept[-1][at : at + (1 << 20)] = bytes(1 << 20)
                kept[-1].madvise(mmap.MADV_DONTNEED, at, 1 << 20)
        time.sleep(1)
        print("held")
    """
    done = session.run(["python3", "-c", textwrap.dedent(code)])
    _true(not done.ok, done.text())
    _equal(session.run("echo on").output, b"on\n")


@_promise("full")
def processes_are_bounded(session: Session, folder: Path) -> None:
    code = """
        import os, time
        for number in range(100):
            if os.fork() == 0:
                time.sleep(3)
                os._exit(0)
        print("all")
    """
    done = session.run(["python3", "-c", textwrap.dedent(code)])
    _true(done.ended == "processes" or b"BlockingIOError" in done.output, done.text()[-300:])
    _equal(session.run("echo on").output, b"on\n")


@_promise("full")
def disk_and_inodes_are_bounded(session: Session, folder: Path) -> None:
    fill = "for i in $(seq 6); do head -c 3M /dev/zero > f$i || echo full; done; rm -f f*"
    make = "for i in $(seq 700); do : > n$i || { echo inodes; break; }; done; rm -f n*"
    for place in (".", "/tmp", "/dev/shm"):
        done = session.run(f"cd {place} && {{ {fill}; {make}; }}")
        _true(b"full" in done.output and b"inodes" in done.output, f"{place}: {done.text()}")


def _write_files(tree: Path) -> None:
    for name, text in _FILES.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def _read_files(tree: Path) -> dict[str, str]:
    paths = sorted(path for path in tree.rglob("*") if path.is_file())
    return {str(path.relative_to(tree)): path.read_text() for path in paths}


def _equal(found: object, expected: object) -> None:
    _true(found == expected, f"{found!r} instead of {expected!r}")


def _true(holds: bool, found: str) -> None:
    if not holds:
        raise AssertionError(found)


def _refused(action: Callable[[], object], path: str, number: int | None = None) -> None:
    try:
        action()
    except OSError as error:
        if number is not None:
            _equal(error.errno, number)
        return
    raise AssertionError(f"{path!r} was not refused")
