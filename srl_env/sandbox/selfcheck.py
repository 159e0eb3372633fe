"""The promises of a sandbox, run against a backend: what any of them must pass.

``self_check(NamespaceSandbox)`` starts real sessions, takes a second or two, and says by name
what held. Each promise is a function that raises AssertionError with what was seen instead.
"""

from __future__ import annotations

import errno
import os
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from srl_env.errors import SandboxFailure
from srl_env.sandbox.interface import Isolation, Limits, Sandbox, Session

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
_RANK: Final[dict[Isolation, int]] = {"none": 0, "weak": 1, "full": 2}
Promise = Callable[[Sandbox, Path], None]


@dataclass(frozen=True)
class SelfCheck:
    """What held and what did not; broken: name and what was seen."""

    backend: str
    isolation: Isolation
    held: tuple[str, ...]
    broken: tuple[tuple[str, str], ...]

    def require(self) -> None:
        """Raises SandboxFailure unless every promise of this isolation held, and there were any."""
        if self.broken or not self.held:
            said = "\n".join(f"- {name}: {seen}" for name, seen in self.broken)
            raise SandboxFailure(f"the {self.backend} sandbox breaks its promises:\n{said}")


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
                _plant(tree)
                try:
                    promise(sandbox, tree)
                    held.append(name)
                except (AssertionError, OSError, SandboxFailure) as error:
                    broken.append((name, f"{type(error).__name__}: {error}"))
                if _files(tree) != _PLANTED:
                    broken.append((name, f"the tree itself changed: {_files(tree)}"))
    finally:
        sandbox.close()
    return SelfCheck(sandbox.name, sandbox.isolation, tuple(held), tuple(broken))


def promises(isolation: Isolation) -> list[tuple[str, Promise]]:
    """The promises a backend of this isolation makes, by name."""
    ranked = [(0, _FOR_ALL), (1, _FOR_WEAK), (2, _FOR_FULL)]
    found = [promise for rank, some in ranked if rank <= _RANK[isolation] for promise in some]
    return [(promise.__name__.strip("_"), promise) for promise in found]


def _a_command_runs_in_a_copy_of_the_tree(sandbox: Sandbox, tree: Path) -> None:
    with sandbox.start(tree, limits=SMALL, env={"GREETING": "hi"}) as session:
        done = session.run('cat a.txt; echo "$GREETING $(pwd)" >> a.txt; exit 3')
        _equal((done.ended, done.status, done.output), ("exited", 3, b"alpha\n"))
        seen = session.read("a.txt").decode().splitlines()
        _true(seen[1].startswith("hi /"), f"a.txt holds {seen}")


def _arguments_and_input_arrive_unchanged(sandbox: Sandbox, tree: Path) -> None:
    code = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read() + sys.argv[1].encode())"
    with sandbox.start(tree, limits=SMALL) as session:
        done = session.run(["python3", "-c", code, "$(x) 'ü'"], stdin=b"\0\xff")
        _equal(done.output, b"\0\xff" + "$(x) 'ü'".encode())
        _equal(session.run("cat").output, b"")


def _a_report_has_its_own_channel(sandbox: Sandbox, tree: Path) -> None:
    with sandbox.start(tree, limits=SMALL) as session:
        done = session.run("echo said; echo reported >&3", report=True)
        _equal((done.output, done.report), (b"said\n", b"reported\n"))


def _an_endless_command_ends_and_the_session_goes_on(sandbox: Sandbox, tree: Path) -> None:
    with sandbox.start(tree, limits=SMALL) as session:
        started = time.monotonic()
        done = session.run("trap '' TERM INT HUP; while :; do :; done", timeout_s=0.3)
        _equal(done.ended, "timeout")
        _true(time.monotonic() - started < 5, "it took more than 5 s")
        _equal(session.run("echo on").output, b"on\n")


def _nothing_a_command_started_outlives_it(sandbox: Sandbox, tree: Path) -> None:
    beat = "setsid bash -c 'while :; do echo x >> beat; sleep 0.01; done' &"
    with sandbox.start(tree, limits=SMALL) as session:
        session.run(f"({beat}) ; sleep 0.2")
        before = len(session.read("beat"))
        time.sleep(0.1)
        _equal(len(session.read("beat")), before)


def _output_is_bounded(sandbox: Sandbox, tree: Path) -> None:
    with sandbox.start(tree, limits=SMALL) as session:
        done = session.run("echo first; yes")
        _equal(done.ended, "output")
        _true(len(done.output) <= SMALL.output_keep_bytes, f"{len(done.output)} bytes were kept")
        _true(done.output.startswith(b"first\n"), "the first line is not in what was kept")


def _files_are_handled_without_following_links(sandbox: Sandbox, tree: Path) -> None:
    with sandbox.start(tree, limits=SMALL) as session:
        session.write("new/folder/f", b"\0\xff", 0o755)
        _equal(session.run("od -An -tx1 new/folder/f; test -x new/folder/f").output, b" 00 ff\n")
        session.run("ln -s /etc/passwd link; ln -s /etc up; mkfifo pipe")
        for path in ("link", "up/passwd", "pipe", "../a.txt", "/etc/passwd", ""):
            _refused(lambda path=path: session.read(path), path)  # type: ignore[misc]
            _refused(lambda path=path: session.write(path, b"x"), path)  # type: ignore[misc]
        _refused(lambda: session.read("missing"), "missing", errno.ENOENT)


def _changes_are_listed(sandbox: Sandbox, tree: Path) -> None:
    script = "echo more >> a.txt; rm b/c.txt; touch b/d.txt; echo x > new; chmod 700 run.sh"
    with sandbox.start(tree, limits=SMALL) as session:
        _equal(session.changes(), [])
        session.run(script)
        found = {(change.change, change.path) for change in session.changes()}
    expected = {("modified", "a.txt"), ("deleted", "b/c.txt"), ("added", "new")}
    _equal(found, expected | {("modified", "run.sh")})


def _a_snapshot_brings_the_workspace_back(sandbox: Sandbox, tree: Path) -> None:
    with sandbox.start(tree, limits=SMALL) as session:
        session.run("rm -r b; mkdir -p b/e; echo deep > b/e/f; ln -s a.txt l; chmod 600 a.txt")
        before = _listing(session)
        snapshot = session.snapshot()
        session.run("chmod 777 a.txt; rm -rf b l; echo other > g")
        session.restore(snapshot)
        _equal(_listing(session), before)
        _equal(session.snapshot(), snapshot)


def _a_closed_session_is_a_failure_and_not_an_answer(sandbox: Sandbox, tree: Path) -> None:
    session = sandbox.start(tree, limits=SMALL)
    session.close()
    try:
        session.run("echo alive")
    except SandboxFailure:
        return
    raise AssertionError("a closed session answered")


def _files_of_the_host_are_out_of_reach(sandbox: Sandbox, tree: Path) -> None:
    secret = tree.parent / "secret"
    secret.write_text("s3cret")
    with sandbox.start(tree, limits=SMALL) as session:
        done = session.run(f"cat {secret} /etc/shadow; echo > {secret}.made; ls {tree.parent}")
        _true(b"s3cret" not in done.output and b"root:" not in done.output, done.text())
    _true(not Path(f"{secret}.made").exists(), "a file was made beside the tree")


def _there_is_no_network(sandbox: Sandbox, tree: Path) -> None:
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
    with sandbox.start(tree, limits=SMALL) as session:
        _equal(session.run(["python3", "-c", textwrap.dedent(code)]).text(), "")


def _commands_have_no_privileges(sandbox: Sandbox, tree: Path) -> None:
    with sandbox.start(tree, limits=SMALL) as session:
        _true(session.run("id -u").output.strip() != b"0", "commands run as root")
        done = session.run("unshare -Ur true || unshare -r true")
        _true(not done.ok, "a user namespace could be made inside")


def _processes_of_the_host_are_out_of_sight(sandbox: Sandbox, tree: Path) -> None:
    code = "import os; print(*[p for p in os.listdir('/proc') if p.isdecimal()])"
    with sandbox.start(tree, limits=SMALL) as session:
        seen = session.run(["python3", "-c", code]).output.split()
        _equal(len(seen), 2)
        _true(not session.run(f"kill -0 {os.getpid()}").ok, "the controller can be signalled")


def _memory_is_bounded(sandbox: Sandbox, tree: Path) -> None:
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
    with sandbox.start(tree, limits=SMALL) as session:
        _equal(session.run(["python3", "-c", textwrap.dedent(code)]).ended, "memory")


def _memory_that_no_process_shows_is_bounded(sandbox: Sandbox, tree: Path) -> None:
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
    with sandbox.start(tree, limits=SMALL) as session:
        done = session.run(["python3", "-c", textwrap.dedent(code)])
        _true(not done.ok, done.text())
        _equal(session.run("echo on").output, b"on\n")


def _processes_are_bounded(sandbox: Sandbox, tree: Path) -> None:
    code = """
        import os, time
        for number in range(100):
            if os.fork() == 0:
                time.sleep(3)
                os._exit(0)
        print("all")
    """
    with sandbox.start(tree, limits=SMALL) as session:
        done = session.run(["python3", "-c", textwrap.dedent(code)])
        _true(done.ended == "processes" or b"BlockingIOError" in done.output, done.text()[-300:])
        _equal(session.run("echo on").output, b"on\n")


def _disk_and_inodes_are_bounded(sandbox: Sandbox, tree: Path) -> None:
    fill = "for i in $(seq 6); do head -c 3M /dev/zero > f$i || echo full; done; rm -f f*"
    make = "for i in $(seq 700); do : > n$i || { echo inodes; break; }; done; rm -f n*"
    with sandbox.start(tree, limits=SMALL) as session:
        for folder in (".", "/tmp", "/dev/shm"):
            done = session.run(f"cd {folder} && {{ {fill}; {make}; }}")
            _true(b"full" in done.output and b"inodes" in done.output, f"{folder}: {done.text()}")


_FOR_ALL: Final[tuple[Promise, ...]] = (
    _a_command_runs_in_a_copy_of_the_tree,
    _arguments_and_input_arrive_unchanged,
    _a_report_has_its_own_channel,
    _an_endless_command_ends_and_the_session_goes_on,
    _nothing_a_command_started_outlives_it,
    _output_is_bounded,
    _files_are_handled_without_following_links,
    _changes_are_listed,
    _a_snapshot_brings_the_workspace_back,
    _a_closed_session_is_a_failure_and_not_an_answer,
)
_FOR_WEAK: Final[tuple[Promise, ...]] = (
    _files_of_the_host_are_out_of_reach,
    _there_is_no_network,
    _commands_have_no_privileges,
)
_FOR_FULL: Final[tuple[Promise, ...]] = (
    _processes_of_the_host_are_out_of_sight,
    _memory_is_bounded,
    _memory_that_no_process_shows_is_bounded,
    _processes_are_bounded,
    _disk_and_inodes_are_bounded,
)
_PLANTED: Final = {
    "a.txt": "alpha\n",
    "b/c.txt": "gamma\n",
    "b/d.txt": "delta\n",
    "run.sh": "true\n",
}


def _plant(tree: Path) -> None:
    for name, text in _PLANTED.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def _files(tree: Path) -> dict[str, str]:
    paths = sorted(path for path in tree.rglob("*") if path.is_file())
    return {str(path.relative_to(tree)): path.read_text() for path in paths}


def _listing(session: Session) -> str:
    script = "find . -printf '%p %y %m %l\\n' | sort; cat $(find . -type f | sort)"
    return session.run(script).text()


def _equal(seen: object, expected: object) -> None:
    _true(seen == expected, f"{seen!r} instead of {expected!r}")


def _true(holds: bool, seen: str) -> None:
    if not holds:
        raise AssertionError(seen)


def _refused(action: Callable[[], object], path: str, number: int | None = None) -> None:
    with _expecting_oserror(path) as caught:
        action()
    if number is not None:
        _equal(caught[0], number)


@contextmanager
def _expecting_oserror(path: str) -> Iterator[list[int | None]]:
    caught: list[int | None] = []
    try:
        yield caught
    except OSError as error:
        caught.append(error.errno)
        return
    raise AssertionError(f"{path!r} was not refused")
