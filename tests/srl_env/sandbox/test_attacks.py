"""What hostile commands try, one test for each thing; see the list in docs/sandbox.md.

An attack prints PWNED when it got what it wanted, and gives up by itself before it harms the
machine. On the namespaces backend it must not get it, must end in bounded time, must leave no
process, and must leave host and session as they were. On the `local` backend, which isolates
nothing, the same attack succeeds where that is safe to show: that is how we know the test can
fail. Attacks that every backend stops, because its keeper does, are shown on a plain subprocess.
"""

from __future__ import annotations

import fcntl
import os
import socket
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from srl_env.sandbox import CommandResult, Limits, Sandbox, Session

MIB = 1 << 20
SMALL = Limits(
    timeout_s=10,
    memory_bytes=96 * MIB,
    address_space_bytes=1024 * MIB,
    processes=32,
    files=400,
    workspace_bytes=8 * MIB,
    scratch_bytes=4 * MIB,
    file_bytes=4 * MIB,
    output_kill_bytes=8 * MIB,
    sockets=64,
)
# For the local backend, where only the attacks' own bounds are to hold.
ROOMY = Limits(timeout_s=8, file_bytes=1024 * MIB)
BOUND_S = 30.0


@dataclass
class Host:
    """What an attack on the host would read, reach or hurt."""

    folder: Path
    victim: subprocess.Popen[bytes]
    port: int
    abstract: str
    unix_path: str

    @property
    def secret(self) -> Path:
        return self.folder / "secret"

    def state(self) -> object:
        """Everything an attack could have changed."""
        status = Path(f"/proc/{self.victim.pid}/status").read_text()
        stopped = next(line for line in status.splitlines() if line.startswith("State:"))
        files = {}
        for path in sorted(self.folder.rglob("*")):
            about = path.lstat()
            content = path.read_bytes() if path.is_file() else b""
            files[str(path)] = (about.st_mode, about.st_mtime_ns, content, _attributes(path))
        return files, self.victim.poll(), "stopped" in stopped


def _attributes(path: Path) -> list[str]:
    return os.listxattr(path) if not path.is_socket() else []


@pytest.fixture
def host(tmp_path: Path, tree: Path) -> Iterator[Host]:
    """Secrets, a process with secrets, and servers that would answer."""
    (tmp_path / "secret").write_text("s3cret-of-the-host")
    environment = {"API_KEY": "s3cret-of-the-host"}
    command = [sys.executable, "-c", "import time; time.sleep(60)", "s3cret-of-the-host"]
    victim = subprocess.Popen(command, env=environment)
    tcp = socket.create_server(("127.0.0.1", 0))
    abstract, path = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
    name, place = f"srl-test-{os.getpid()}-{victim.pid}", str(tmp_path / "server.sock")
    abstract.bind(f"\0{name}")
    path.bind(place)
    for server in (abstract, path):
        server.listen()
    yield Host(tmp_path, victim, tcp.getsockname()[1], name, place)
    for server in (tcp, abstract, path):
        server.close()
    victim.kill()
    victim.wait()


def run_python(session: Session, script: str, **options: Any) -> CommandResult:
    return session.run(["python3", "-c", textwrap.dedent(script)], **options)


def attack(
    sandbox: Sandbox,
    tree: Path,
    script: str,
    *,
    limits: Limits = SMALL,
    env: dict[str, str] | None = None,
) -> CommandResult:
    """Runs a Python script in a session of its own; the session must be in order afterwards."""
    with sandbox.start(tree, limits=limits, env=env) as session:
        done = run_python(session, script)
        assert session.run("echo in order").output == b"in order\n"
    return done


def holds(
    sandbox: Sandbox, tree: Path, host: Host, marked: object, script: str, limits: Limits = SMALL
) -> CommandResult:
    """The attack fails, in bounded time, with the host as it was and no process left."""
    before, started = host.state(), time.monotonic()
    done = attack(sandbox, tree, script, limits=limits, env=marked.env)  # type: ignore[attr-defined]
    assert b"PWNED" not in done.output, done.text()
    assert time.monotonic() - started < BOUND_S
    assert host.state() == before
    assert marked.wait_for_none() == []  # type: ignore[attr-defined]
    return done


def succeeds(sandbox: Sandbox, tree: Path, script: str) -> None:
    """The attack works where nothing is isolated, so that its failing elsewhere says something."""
    done = attack(sandbox, tree, script, limits=ROOMY)
    assert b"PWNED" in done.output, done.text()


FORKS = """
    import os, time
    children = 0
    try:
        while children < 60:
            if os.fork() == 0:
                time.sleep(2)
                os._exit(0)
            children += 1
    except OSError:
        pass
    print("PWNED" if children == 60 else children)
"""


def test_1_an_endless_fork_bomb_ends_with_the_command(namespaces, tree, host, marked):
    bomb = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"
    limits = replace(SMALL, timeout_s=1)
    done = holds(namespaces, tree, host, marked, bomb, limits)
    assert done.ended == "timeout"


TAKE = """
    import ctypes, mmap, os, sys, time
    SIZE = 300 << 20
    def touch(memory, size):
        for at in range(0, size, 4096):
            memory[at] = 1
            if at % (8 << 20) == 0:
                time.sleep(0.01)  # where no cgroup bounds memory, it is counted every 30 ms
    def one():
        touch(bytearray(SIZE), SIZE)
        return True
    def many():
        for _ in range(6):
            if os.fork() == 0:
                touch(bytearray(SIZE // 6), SIZE // 6)
                time.sleep(1)
                os._exit(0)
        return all(os.wait()[1] == 0 for _ in range(6))
    def shared():
        touch(mmap.mmap(-1, SIZE, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS), SIZE)
        return True
    def memfd():
        kept = os.memfd_create("x")
        return all(os.write(kept, bytes(1 << 20)) for _ in range(300))
    def system_v():
        libc = ctypes.CDLL(None, use_errno=True)
        number = libc.shmget(0, ctypes.c_size_t(SIZE), 0o1600)
        if number < 0:
            return False
        libc.shmat.restype = ctypes.c_void_p
        address = libc.shmat(number, None, 0)
        libc.shmctl(number, 0, None)  # gone when this process is
        touch((ctypes.c_char * SIZE).from_address(address), 0)
        ctypes.memset(address, 1, SIZE)
        return True
    try:
        print("PWNED" if WAY() else "refused")
    except (OSError, MemoryError) as error:
        print(error)
"""


SOCKETS = """
    import os, socket, time
    kept, queued = [], 0
    for child in range(8):
        if os.fork() == 0:
            break
    else:
        os.wait()
        time.sleep(2)
    try:
        while queued < 40 << 20:
            pair = socket.socketpair()
            kept.append(pair)
            for end in pair:
                end.setblocking(False)
                try:
                    while True:
                        queued += end.send(bytes(65536))
                except BlockingIOError:
                    pass
            time.sleep(0.02)  # sockets are counted every 30 ms, and 40 MB can be queued in fewer
    except OSError:
        pass
    os.write(1, b"PWNED" if queued >= 40 << 20 else b"%d " % queued)
    time.sleep(1)
"""


def test_3_socket_buffers_are_limited_by_counting_sockets(namespaces, tree, host, marked):
    done = holds(namespaces, tree, host, marked, SOCKETS)
    assert done.ended in ("sockets", "memory")  # the latter where a cgroup counts the buffers


def test_3_sockets_up_to_the_limit_work(namespaces, tree):
    script = "import socket; kept = [socket.socketpair() for _ in range(20)]; print(len(kept))"
    assert attack(namespaces, tree, script).output == b"20\n"


DISK = """
    import os, tempfile
    for folder in (".", tempfile.gettempdir(), "/dev/shm"):
        names = [os.path.join(folder, f"srl-fill-{os.getpid()}-{n}") for n in range(8)]
        try:
            for name in names:
                with open(name, "wb") as file:
                    file.write(bytes(3 << 20))
            print("PWNED", folder)
        except OSError as error:
            print(error)
        for name in names:
            if os.path.exists(name):
                os.unlink(name)
"""


INODES = """
    import os
    made = 0
    try:
        for number in range(2000):
            open(f"n{number}", "w").close()
            made += 1
    except OSError as error:
        print(error)
    print("PWNED" if made == 2000 else made)
"""


CONNECT = """
    import socket
    targets = [
        (socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", {port})),
        (socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", {port})),
        (socket.AF_UNIX, socket.SOCK_STREAM, "\\0{abstract}"),
        (socket.AF_UNIX, socket.SOCK_STREAM, "{unix_path}"),
    ]
    for family, kind, address in targets[{which}]:
        try:
            made = socket.socket(family, kind)
            made.connect(address)
            made.send(b"x")
            print("PWNED", address)
        except OSError as error:
            print(error)
    for family in (socket.AF_VSOCK, socket.AF_NETLINK, socket.AF_PACKET, socket.AF_ALG):
        try:
            socket.socket(family, socket.SOCK_RAW if family != socket.AF_VSOCK else 1)
            print("made", family)
        except OSError:
            pass
"""


@pytest.mark.parametrize("which", range(4), ids=["tcp", "udp", "abstract", "path"])
def test_6_no_socket_reaches_out(namespaces, local, tree, host, marked, which):
    script = CONNECT.format(
        port=host.port,
        abstract=host.abstract,
        unix_path=host.unix_path,
        which=f"{which}:{which + 1}",
    )
    done = holds(namespaces, tree, host, marked, script)
    assert b"made" not in done.output
    succeeds(local, tree, script)


READ = """
    import os
    for path in {paths}:
        try:
            if b"s3cret" in open(path, "rb").read() or path == "/etc/shadow":
                print("PWNED", path)
        except OSError as error:
            print(error)
"""


def test_7_our_own_packages_and_their_solutions_cannot_be_read(namespaces, tree):
    import srl_env

    assert os.path.exists(srl_env.__file__)
    script = f"import os; print(os.path.exists({srl_env.__file__!r}))"
    assert attack(namespaces, tree, script).output == b"False\n"
    assert b"ModuleNotFoundError" in attack(namespaces, tree, "import srl_env").output


METADATA = """
    import os
    for action in (
        lambda: os.stat("{path}"),
        lambda: os.chmod("{path}", 0o777),
        lambda: os.setxattr("{path}", "user.x", b"1"),
        lambda: os.utime("{path}"),
    ):
        try:
            action()
            print("PWNED")
        except OSError as error:
            print(error)
"""


def test_8_the_tree_and_the_interpreter_cannot_be_changed(namespaces, tree, host, marked):
    script = """
        import os, sys
        for path in (sys.executable, os.__file__, "/usr/bin/env", "/etc/passwd", "/dev/null", "/"):
            for action in (lambda: os.chmod(path, 0o777), lambda: os.utime(path)):
                try:
                    action()
                    print("PWNED", path)
                except OSError:
                    pass
        for path in ("/usr/bin/env", "/etc/passwd", "/made"):
            try:
                open(path, "ab")
                print("PWNED", path)
            except OSError:
                pass
        os.chmod("README", 0)
        os.unlink("pkg/mod.py")
    """
    holds(namespaces, tree, host, marked, script)


PROCESSES = """
    import glob
    for path in glob.glob("/proc/[0-9]*/environ") + glob.glob("/proc/[0-9]*/cmdline"):
        try:
            if b"s3cret-of" + b"-the-host" in open(path, "rb").read():
                print("PWNED", path)
        except OSError:
            pass
"""


KEEPER = """
    import ctypes, os
    keeper = os.getppid()
    for name in ("mem", "environ", "maps", "fd/3", "root", "cwd"):
        path = f"/proc/{keeper}/{name}"
        try:
            (os.readlink if "/" in name or name in ("root", "cwd") else open)(path)
            print("PWNED", path)
        except OSError as error:
            print(error)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(0x4206, keeper, 0, 0) == 0:  # PTRACE_SEIZE, which does not stop it
        print("PWNED ptrace")
    local, remote = (ctypes.c_ulong * 2)(id(libc), 8), (ctypes.c_ulong * 2)(id(libc), 8)
    if libc.process_vm_readv(keeper, local, 1, remote, 1, 0) >= 0:
        print("PWNED process_vm_readv")
"""


STARVE = """
    import os, resource
    keeper = os.getppid()
    def limit():
        files = resource.prlimit(keeper, resource.RLIMIT_NOFILE)
        resource.prlimit(keeper, resource.RLIMIT_NOFILE, files)
    def processor():
        os.sched_setaffinity(keeper, os.sched_getaffinity(keeper))
    def scheduler():
        os.sched_setscheduler(keeper, os.SCHED_IDLE, os.sched_param(0))
    def priority():
        os.setpriority(os.PRIO_PROCESS, keeper, os.getpriority(os.PRIO_PROCESS, keeper))
    for way in (limit, processor, scheduler, priority):
        try:
            way()
            print("PWNED", way.__name__)
        except OSError as error:
            print(error)
    os.sched_setaffinity(0, os.sched_getaffinity(0))
    os.nice(1)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    print("its own it may change")
"""


def test_10_the_keepers_limits_and_scheduling_cannot_be_changed(
    namespaces, local, tree, host, marked
):
    done = holds(namespaces, tree, host, marked, STARVE)
    assert b"its own it may change" in done.output
    if os.geteuid() == 0:
        succeeds(local, tree, STARVE)


KILL = """
    import os, signal
    for target in {targets}:
        try:
            os.kill(target, signal.SIG{number})
            print("sent", target)
        except OSError as error:
            print(error)
"""


def test_11_kill_reaches_nobody_outside(namespaces, tree, host, marked):
    for targets in ([host.victim.pid, os.getpid()], [1], [-1]):
        script = KILL.format(targets=targets, number="KILL")
        holds(namespaces, tree, host, marked, script)


def test_11_kill_reaches_others_where_nothing_is_isolated(local, tree, host):
    script = KILL.format(targets=[host.victim.pid], number="KILL")
    assert b"sent" in attack(local, tree, script).output
    assert host.victim.wait(5) == -9


@pytest.mark.parametrize("targets", [[0], [1], [-1]])
def test_12_stopping_everyone_ends_at_the_time_limit(namespaces, tree, host, marked, targets):
    script = KILL.format(targets=targets, number="STOP") + "    import time; time.sleep(60)"
    with namespaces.start(tree, limits=SMALL, env=marked.env) as session:
        started = time.monotonic()
        done = run_python(session, script, timeout_s=0.5)
        assert done.ended == "timeout"
        assert time.monotonic() - started < 3
        assert session.run("echo in order").output == b"in order\n"
    assert marked.wait_for_none() == []


HEARTBEAT = """
    import os, sys, time
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for _ in range(100):
                with open("beat", "a") as file:
                    file.write("x")
                time.sleep(0.02)
        os._exit(0)
    time.sleep(0.3)
"""


def test_13_a_daemon_dies_with_the_command_that_started_it(namespaces, tree, marked, tmp_path):
    with namespaces.start(tree, limits=SMALL, env=marked.env) as session:
        run_python(session, HEARTBEAT)
        assert marked.alive() == []
        beats = len(session.read("beat"))
        assert beats > 0
        time.sleep(0.2)
        assert len(session.read("beat")) == beats
    script = [sys.executable, "-c", textwrap.dedent(HEARTBEAT)]
    subprocess.run(script, cwd=tmp_path, env=marked.env, check=True)
    assert marked.alive() != []  # what a plain subprocess leaves behind
    for left in marked.alive():
        os.kill(left, 9)


def test_14_a_loop_that_ignores_signals_ends_at_the_time_limit(namespaces, tree, marked):
    script = """
        import signal
        for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_IGN)
        while True:
            pass
    """
    with namespaces.start(tree, limits=SMALL, env=marked.env) as session:
        started = time.monotonic()
        done = run_python(session, script, timeout_s=0.5)
        assert (done.ended, done.status) == ("timeout", -9)
        assert time.monotonic() - started < 3
    assert marked.wait_for_none() == []


def test_15_gigabytes_of_output_are_cut_and_the_command_killed(namespaces, tree, marked):
    with namespaces.start(tree, limits=SMALL, env=marked.env) as session:
        done = session.run("yes 0123456789abcdef | head -c 3000000000; echo PWNED")
        assert done.ended == "output"
        assert len(done.output) <= SMALL.output_keep_bytes
        assert SMALL.output_kill_bytes < done.output_bytes < 4 * SMALL.output_kill_bytes
        done = session.run("yes 0123456789abcdef | head -c 64000000 >&3", report=True)
        assert done.ended == "output"
    assert marked.wait_for_none() == []


def test_15_a_held_pipe_does_not_hold_up_the_answer(namespaces, tree, marked):
    with namespaces.start(tree, limits=SMALL, env=marked.env) as session:
        started = time.monotonic()
        done = session.run("setsid sleep 3 & echo said")
        assert (done.ended, done.output) == ("exited", b"said\n")
        assert time.monotonic() - started < 1.5
    command = ["bash", "-c", "setsid sleep 1 & echo said"]
    started = time.monotonic()
    subprocess.run(command, capture_output=True, check=True)
    assert time.monotonic() - started > 0.9  # a plain subprocess waits for the daemon


def test_16_hostile_bytes_in_output_become_harmless_text(namespaces, tree):
    script = r"printf 'a\xff\xed\xa0\x80\x00\x1b[2J\x1b]0;title\x07\r\nb\x08\xe2\x80\xaec'"
    with namespaces.start(tree) as session:
        done = session.run(script)
        assert done.output.startswith(b"a\xff\xed\xa0\x80\x00\x1b[2J")
        assert done.text() == "a\ufffd\ufffd\ufffd\ufffd\\x00\nb\\x08\\u202ec"
        assert done.text().encode()  # valid Unicode


def test_16_hostile_file_names_are_listed_and_restored(namespaces, tree):
    script = r"""
        import os
        names = (b"\xff\xfe", b"new\nline", b"\x1b[31m", "\U0001f600".encode(), b"-rf", b" ")
        for name in (*names, b"x" * 255):
            with open(name, "wb") as file:
                file.write(name)
    """
    with namespaces.start(tree) as session:
        run_python(session, script)
        paths = {os.fsencode(change.path) for change in session.changes()}
        assert len(paths) == 7
        assert {b"\xff\xfe", b"new\nline", b"x" * 255} < paths
        assert session.read("\udcff\udcfe") == b"\xff\xfe"
        snapshot = session.snapshot()
        session.restore(snapshot)
        assert session.snapshot() == snapshot


DEEP = """
    import os
    for _ in range(3000):
        os.mkdir("d" * 20)
        os.chdir("d" * 20)
    open("bottom", "w").close()
"""


def test_17_a_tree_3000_folders_deep_is_listed_and_left_in_bounded_time(
    namespaces, local, tree, host, marked
):
    for sandbox in (namespaces, local):
        started = time.monotonic()
        with sandbox.start(tree, limits=Limits(timeout_s=8), env=marked.env) as session:
            assert run_python(session, DEEP).ok
            changes = session.changes()
            assert len(changes) == 101
            assert changes[-1].kind == "special"
            assert session.snapshot().left_out == (changes[-1].path,)
        assert time.monotonic() - started < BOUND_S
    assert marked.wait_for_none() == []


def test_17_closed_files_and_folders_are_read_and_restored(namespaces, tree):
    script = "mkdir shut; echo in > shut/f; chmod 0 shut/f shut pkg README"
    with namespaces.start(tree) as session:
        session.run(script)
        snapshot = session.snapshot()
        held = dict(zip([c.path for c in snapshot.changes], snapshot.contents, strict=True))
        assert held == {"README": b"read me\n", "pkg": b"", "shut": b"", "shut/f": b"in\n"}
        session.restore(snapshot)
        assert session.snapshot() == snapshot
        assert session.run("stat -c %a shut README pkg").output == b"0\n0\n0\n"


def test_18_pipes_links_and_sparse_files_neither_block_nor_leak(namespaces, tree, host):
    script = f"""
        import os
        os.mkfifo("pipe")
        os.symlink("/etc/shadow", "shadow")
        os.symlink("{host.secret}", "secret")
        os.symlink("/proc/self/mem", "mem")
        os.symlink(".", "loop")
        os.link("README", "hard")
        for number in range(300):
            with open(f"sparse{{number}}", "wb") as file:
                file.truncate(4 << 20)
    """
    with namespaces.start(tree, limits=SMALL) as session:
        run_python(session, script)
        changes = {change.path: change for change in session.changes()}
        assert changes["pipe"].kind == "special"
        assert (changes["secret"].kind, changes["secret"].target) == ("symlink", str(host.secret))
        assert changes["hard"].links == 2
        for path in ("pipe", "shadow", "secret", "mem", "loop/README"):
            with pytest.raises(OSError, match=r"symlink|regular"):
                session.read(path)
            with pytest.raises(OSError, match=r"symlink|regular|No such device|symbolic"):
                session.write(path, b"x")
        started = time.monotonic()
        with pytest.raises(OSError, match="more than") as caught:
            session.snapshot(max_bytes=64 * MIB)
        assert caught.value.errno == 27  # EFBIG
        assert time.monotonic() - started < 5


def test_18_a_restored_link_is_a_link_and_nothing_is_written_through_it(namespaces, tree, host):
    with namespaces.start(tree) as session:
        session.run(f"rm -r pkg; ln -s {host.folder} pkg")
        snapshot = session.snapshot()
        session.restore(snapshot)
        assert session.run("readlink pkg").output.decode().strip() == str(host.folder)
        with pytest.raises(OSError, match="symlink"):
            session.write("pkg/secret", b"overwritten")
    assert host.secret.read_text() == "s3cret-of-the-host"


KERNEL = """
    import ctypes, os, sys
    libc = ctypes.CDLL(None, use_errno=True)
    calls = {
        "unshare": (272, 0x10000000), "clone": (56, 0x10000011), "clone3": (435, 0, 0),
        "mount": (165, b"t", b"/nowhere", b"tmpfs", 0, 0), "setns": (308, 0, 0),
        "io_uring": (425, 1, ctypes.create_string_buffer(256)),
        "bpf": (321, 0, ctypes.create_string_buffer(256), 72),
        "keyctl": (250, 0, -3, 1), "add_key": (248, b"user", b"x", b"y", 1, -3),
        "perf": (298, ctypes.create_string_buffer(128), 0, -1, -1, 0),
        "userfaultfd": (323, 1), "open_tree": (428, -100, b"/", 1),
        "memfd": (319, b"x", 0), "personality": (135, 0x40000),
        "x32 getpid": (0x40000027,),
    }
    for name, arguments in calls.items():
        result = libc.syscall(*arguments)
        if result == 0 and name == "clone":
            os._exit(0)
        if result >= 0:
            print("PWNED", name)
        elif ctypes.get_errno() not in (1, 38):
            print("UNSURE", name, ctypes.get_errno())
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the call numbers are those of x86-64")
def test_19_calls_that_widen_the_kernels_surface_are_refused(namespaces, local, tree, host, marked):
    done = holds(namespaces, tree, host, marked, KERNEL)
    assert b"UNSURE" not in done.output, done.text()
    few = "for name in ('unshare', 'memfd', 'personality'):\n        arguments = calls[name]"
    succeeds(local, tree, KERNEL.replace("for name, arguments in calls.items():", few))


CORE_PATTERN = """
    import os
    for path in ("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe"):
        try:
            os.open(path, os.O_WRONLY)
            print("PWNED", path)
        except OSError as error:
            print(error)
"""


# Each script fails on the namespaces backend and works on the local one.
STOPPED: dict[str, Callable[[Host], str]] = {
    "1 a fork bomb": lambda host: FORKS,
    "2 memory of one process": lambda host: TAKE.replace("WAY", "one"),
    "2 memory of many processes": lambda host: TAKE.replace("WAY", "many"),
    "2 shared memory": lambda host: TAKE.replace("WAY", "shared"),
    "2 memory of a memfd": lambda host: TAKE.replace("WAY", "memfd"),
    "2 System V memory": lambda host: TAKE.replace("WAY", "system_v"),
    "4 filling the disk": lambda host: DISK,
    "5 using up inodes": lambda host: INODES,
    "7 reading secrets": lambda host: READ.format(
        paths=["/etc/shadow", str(host.secret), f"/proc/1/root{host.secret}"]
    ),
    "8 metadata of host files": lambda host: METADATA.format(path=host.secret),
    "9 others' environments and command lines": lambda host: PROCESSES,
    "10 tracing and reading the keeper": lambda host: KEEPER,
    "20 writing kernel settings": lambda host: CORE_PATTERN,
}
WITH_ROOT = ("10 tracing and reading the keeper", "20 writing kernel settings")


@pytest.mark.parametrize("name", STOPPED)
def test_an_attack_is_stopped_that_succeeds_without_isolation(
    namespaces, local, tree, host, marked, name
):
    script = STOPPED[name](host)
    holds(namespaces, tree, host, marked, script)
    if name not in WITH_ROOT or os.geteuid() == 0:  # a plain user may be refused even there
        succeeds(local, tree, script)


def test_20_a_crash_leaves_no_core_anywhere(namespaces, tree, host, marked):
    with namespaces.start(tree, env=marked.env) as session:
        done = session.run(["python3", "-c", "import os, resource; os.abort()"])
        assert done.status == -6
        limits = session.run("cat /proc/self/limits | grep core").output.split()
        assert limits[4:6] == [b"1", b"1"]  # 1, not 0: at 0 the kernel still starts a piped handler
        assert session.changes() == []


def test_21_a_workspaces_git_settings_run_nothing_on_the_host(namespaces, tree, host, tmp_path):
    pwned = tmp_path / "pwned"
    config = f'[core]\n fsmonitor = touch {pwned}; false\n[filter "x"]\n clean = touch {pwned}\n'
    (host.folder / "tree" / ".git").mkdir()
    before = host.state()
    with namespaces.start(tree) as session:
        session.write(".git/config", config.encode())
        session.write(".gitattributes", b"* filter=x\n")
        session.write(".git/hooks/pre-commit", f"touch {pwned}".encode(), 0o755)
        paths = [change.path for change in session.changes()]
        assert ".git/config" in paths
        session.restore(session.snapshot())
    assert host.state() == before
    assert not pwned.exists()


@pytest.mark.parametrize(
    "plant",
    [
        "mkdir -p ~/.local/lib/python3.11/site-packages; echo 'print(\"PWNED\")' > "
        "~/.local/lib/python3.11/site-packages/usercustomize.py",  # 24
        "echo 'print(\"PWNED\")' > sitecustomize.py",  # 24
        "echo 'print(\"PWNED\")' > ~/.bashrc; echo 'echo PWNED' > ~/.profile",
        "mkdir -p pkg/__pycache__; echo > pkg/__pycache__/mod.cpython-311.pyc",  # 25
        "(setsid sh -c 'sleep 0.3; echo PWNED > README') &",  # 27: rewritten later by a daemon
        "echo PWNED > /dev/shm/README; echo PWNED > /tmp/README",
    ],
)
def test_24_to_27_nothing_of_one_session_reaches_the_next(namespaces, tree, plant):
    with namespaces.start(tree) as session:
        session.run(plant)
    with namespaces.start(tree) as fresh:
        time.sleep(0.35 if "setsid" in plant else 0)
        code = "import pkg.mod; print(pkg.mod.value, open('README').read())"
        done = fresh.run(["python3", "-c", code])
        assert done.output == b"1 read me\n\n", done.text()
        assert fresh.run("ls -A /tmp /dev/shm").output == b"/dev/shm:\n\n/tmp:\n"
        assert fresh.changes() == []


def test_26_nothing_written_to_other_descriptors_reaches_the_report(namespaces, tree):
    script = """
        import os
        for descriptor in range(64):
            try:
                os.write(descriptor, b"forged\\n")
            except OSError:
                pass
        os._exit(0)
    """
    with namespaces.start(tree) as session:
        done = run_python(session, script)
        assert (done.status, done.report) == (0, b"")
        assert set(done.output.split()) == {b"forged"}
        assert len(done.output.split()) == 2  # standard output and error, and no other


def test_30_a_child_that_goes_on_after_its_parent_has_ended_is_dead(namespaces, tree, marked):
    script = """
        import os, time
        if os.fork():
            os._exit(0)
        time.sleep(0.2)
        open("README", "w").write("rewritten")
    """
    with namespaces.start(tree, env=marked.env) as session:
        run_python(session, script)
        time.sleep(0.3)
        assert session.changes() == []
        assert marked.alive() == []


HOLD_UP = """
    import ctypes, os
    libc = ctypes.CDLL(None, use_errno=True)
    for name, mode, kind in (("write", os.O_RDWR, 1), ("read", os.O_RDONLY, 0)):
        open(name, "w").close()
        if libc.fcntl(os.open(name, mode), 1024, kind) == 0:
            print("PWNED", name, "lease")
    if libc.fcntl(os.open(".", os.O_RDONLY), 1026, 2) == 0:
        print("PWNED dnotify")
    if libc.syscall({io_setup}, 64, ctypes.byref(ctypes.c_long(0))) == 0:
        print("PWNED io_setup")
    print(os.strerror(ctypes.get_errno()))
"""


def test_31_leases_and_asynchronous_io_which_hold_up_others_are_refused(
    namespaces, tree, host, marked, tmp_path
):
    script = HOLD_UP.replace("{io_setup}", {"x86_64": "206"}.get(os.uname().machine, "0"))
    done = holds(namespaces, tree, host, marked, script)
    assert done.text() == "Operation not permitted\n"
    plain = [sys.executable, "-c", textwrap.dedent(script)]
    said = subprocess.run(plain, cwd=tmp_path, capture_output=True, check=True).stdout
    assert b"PWNED" in said  # which of them depends on the kernel and on the file system


def test_32_locks_in_the_workspace_are_not_those_of_the_tree(namespaces, tree, marked):
    code = """
        import fcntl, os, time
        file = open("README", "r+")
        fcntl.flock(file, fcntl.LOCK_EX)
        fcntl.lockf(file, fcntl.LOCK_EX)
        print("held", flush=True)
        open("held", "w").close()
        time.sleep(1)
    """
    command = ["python3", "-c", textwrap.dedent(code)]
    with namespaces.start(tree, env=marked.env) as one, namespaces.start(tree) as two:
        thread = threading.Thread(target=one.run, args=(command,))
        thread.start()
        until = time.monotonic() + 5
        while not marked.alive() and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(0.3)
        with open(tree / "README", "r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert two.run("flock --nonblock README true || exit 1").ok
        thread.join()


def test_33_changes_of_the_tree_are_not_seen_by_a_watch_in_the_workspace(namespaces, tree):
    code = """
        import ctypes, os, time
        libc = ctypes.CDLL(None)
        watch = libc.inotify_init1(0o4000)
        assert libc.inotify_add_watch(watch, b"README", 0xFFF) > 0
        assert libc.inotify_add_watch(watch, b".", 0xFFF) > 0
        time.sleep(0.6)
        try:
            print("PWNED", os.read(watch, 4096))
        except BlockingIOError:
            print("nothing")
    """
    with namespaces.start(tree) as session:
        threading.Timer(0.3, (tree / "README").read_text).start()
        assert run_python(session, code).output == b"nothing\n"


def test_attacks_at_the_same_time_do_not_disturb_each_other(namespaces, tree, marked):
    answers: list[bytes] = []

    def peaceful() -> None:
        with namespaces.start(tree, env=marked.env) as session:
            answers.extend(session.run(f"echo {n}").output for n in range(5))

    threads = [threading.Thread(target=peaceful) for _ in range(3)]
    for thread in threads:
        thread.start()
    attack(namespaces, tree, FORKS, env=marked.env)
    for thread in threads:
        thread.join()
    assert sorted(answers) == sorted(f"{n}\n".encode() for n in range(5) for _ in range(3))
    assert marked.wait_for_none() == []


def test_the_workspace_is_what_the_tests_think_it_is(namespaces, tree):
    with namespaces.start(tree) as session:
        assert isinstance(session, Session)
        assert session.run("cat README").output == b"read me\n"
        assert stat.S_IMODE((tree / "README").stat().st_mode) == 0o644
