"""Memory that a process holds without showing it, in sessions with and without a cgroup.

An attack prints PWNED when it holds three times its limit; each must be killed for its memory, or
be refused what it asks for. The same scripts succeed in a plain subprocess.
"""

from __future__ import annotations

import errno
import mmap
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator

import pytest

from srl_env.sandbox import LandlockSandbox, Limits, NamespaceSandbox, Sandbox, Session
from srl_env.sandbox.inside import kernel, landlock, memory

MIB = 1 << 20
LIMITS = Limits(
    timeout_s=60,  # only reached where an attack is not noticed
    memory_bytes=96 * MIB,
    workspace_bytes=8 * MIB,
    scratch_bytes=4 * MIB,
    processes=120,
    files=2000,
)
x86_only = pytest.mark.skipif(os.uname().machine != "x86_64", reason="call numbers of x86-64")


@pytest.fixture(scope="module", params=[True, False], ids=["cgroup", "watched"])
def kept(request: pytest.FixtureRequest, namespaces: Sandbox) -> Iterator[NamespaceSandbox]:
    """The namespaces backend, with a memory cgroup (skips where none can be made) and without."""
    sandbox = NamespaceSandbox(cgroup=request.param)
    with sandbox.start(None) as session:
        if session.cgroup != request.param:
            pytest.skip("no memory cgroup can be made here")
    yield sandbox
    sandbox.close()


BEGIN = """
import ctypes, fcntl, mmap, os, struct, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
SIZE = 288 << 20
BLOCK = 32 << 20
kept = []
def call(name, *arguments):
    result = getattr(libc, name)(*map(whole, arguments))
    if result in (-1, 2**64 - 1, None):
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")
    return result
def whole(value):
    return ctypes.c_long(value) if isinstance(value, int) else value
def pages(size=BLOCK, flags=0x21):
    return call("mmap", 0, size, 3, flags, -1, 0)
def pwned():
    os.write(1, b"PWNED")
    time.sleep(float(sys.argv[1]))
    os._exit(0)
def children(count, action):
    for _ in range(count):
        if os.fork() == 0:
            action()
            time.sleep(60)
            os._exit(0)
try:
"""
END = """
except OSError as error:
    print("refused", error.errno)
"""
# What each does, and the errno of a refusal with a cgroup and without (None: killed instead).
ATTACKS = {
    "shared pages handed back": (
        """
        for _ in range(SIZE // BLOCK):
            address = pages()
            for at in range(address, address + BLOCK, 1 << 20):
                libc.memset(ctypes.c_void_p(at), 1, 1 << 20)
                call("madvise", at, 1 << 20, mmap.MADV_DONTNEED)
        pwned()
        """,
        None,
        errno.ENOMEM,
    ),
    "one page of each shared mapping": (
        """
        for _ in range(SIZE // BLOCK):
            address = pages()
            libc.memset(ctypes.c_void_p(address), 1, BLOCK)
            call("munmap", address + 4096, BLOCK - 4096)
        pwned()
        """,
        None,
        errno.ENOMEM,
    ),
    "many small shared mappings": (
        """
        for _ in range(SIZE >> 20):
            address = pages(1 << 20)
            libc.memset(ctypes.c_void_p(address), 1, 1 << 20)
            call("munmap", address + 4096, (1 << 20) - 4096)
        pwned()
        """,
        None,
        None,
    ),
    "shared mappings under another name": (
        """
        for _ in range(SIZE >> 20):
            address = pages(1 << 20)
            libc.prctl(0x53564D41, 0, ctypes.c_long(address), ctypes.c_long(1 << 20), b"mine")
            libc.memset(ctypes.c_void_p(address), 1, 1 << 20)
            call("madvise", address, 1 << 20, mmap.MADV_DONTNEED)
        pwned()
        """,
        None,
        None,
    ),
    "shared mappings of a process that cannot be read": (
        """
        call("prctl", 4, 0, 0, 0, 0)
        for _ in range(SIZE >> 20):
            address = pages(1 << 20)
            libc.memset(ctypes.c_void_p(address), 1, 1 << 20)
            call("madvise", address, 1 << 20, mmap.MADV_DONTNEED)
        pwned()
        """,
        None,
        None,
    ),
    "shared mappings of /dev/zero": (
        """
        zero = os.open("/dev/zero", os.O_RDWR)
        for _ in range(SIZE // BLOCK):
            block = mmap.mmap(zero, BLOCK)
            for at in range(0, BLOCK, 1 << 20):
                block[at : at + (1 << 20)] = bytes(1 << 20)
            block.madvise(mmap.MADV_DONTNEED)
            kept.append(block)
        pwned()
        """,
        errno.ENODEV,
        errno.ENODEV,
    ),
    "memory of a process whose first thread has ended": (
        """
        def hold():
            time.sleep(0.1)
            libc.memset(ctypes.c_void_p(pages(SIZE, 0x22)), 1, ctypes.c_long(SIZE))
            pwned()
        threading.Thread(target=hold).start()
        libc.pthread_exit(None)
        """,
        None,
        None,
    ),
    "huge pages held by one page in a pipe": (
        """
        for number in range(SIZE >> 21):
            if number % 8 == 0:
                pipe = os.pipe()
            address = pages(4 << 20, 0x22)
            start = (address + (1 << 21) - 1) >> 21 << 21
            libc.madvise(ctypes.c_void_p(address), ctypes.c_long(4 << 20), 14)
            libc.memset(ctypes.c_void_p(start), 1, 1 << 21)
            part = struct.pack("QQ", start, 1)
            call("vmsplice", pipe[1], part, 1, 0)
            call("munmap", address, 4 << 20)
        pwned()
        """,
        errno.EPERM,
        errno.EPERM,
    ),
    "pages of the machine's pool": (
        """
        pages(2 << 20, 0x40022)
        """,
        errno.ENOMEM,
        errno.ENOMEM,
    ),
    "a table of the kernel's": (
        """
        call("prctl", 78, 1, 1 << 21, 0, 0)  # PR_FUTEX_HASH: 128 MB
        pwned()
        """,
        errno.EPERM,
        errno.EPERM,
    ),
    "page tables": (
        """
        def read():
            address = pages(1900 << 20, 0x4022)
            call("madvise", address, 1900 << 20, 15)
            for at in range(address, address + (1900 << 20), 1 << 21):
                kept[:] = [ctypes.c_char.from_address(at).value]
        children(110, read)
        pwned()
        """,
        None,
        None,
    ),
    "mappings": (
        """
        def split():
            address = pages(240 << 20, 0x22)
            for at in range(address, address + (240 << 20), 8192):
                call("mprotect", at, 4096, 1)
        children(60, split)
        pwned()
        """,
        None,
        None,
    ),
    "pipes": (
        """
        def fill():
            while True:
                try:
                    reading, writing = os.pipe()
                except OSError:
                    return
                os.set_blocking(writing, False)
                try:
                    while True:
                        os.write(writing, bytes(4096))
                except BlockingIOError:
                    os.close(writing)
        children(110, fill)
        pwned()
        """,
        None,
        None,
    ),
    "file locks": (
        """
        for name in range(240):
            file = os.open(f"lock{name}", os.O_RDWR | os.O_CREAT)
            for at in range(4000, 0, -1):
                fcntl.lockf(file, fcntl.LOCK_EX, 1, 2 * at)
        pwned()
        """,
        None,
        None,
    ),
    "locks of an open file": (
        """
        file = os.open("lock", os.O_RDWR | os.O_CREAT)
        call("fcntl", file, 37, struct.pack("hhqqi4x", 1, 0, 0, 1, 0))
        pwned()
        """,
        errno.EPERM,
        errno.EPERM,
    ),
    "locks of a process that has ended": (
        """
        call("syscall", 56, 0x411, 0, 0, 0, 0)  # clone(CLONE_FILES)
        pwned()
        """,
        errno.EPERM,
        errno.EPERM,
    ),
    "rules of Landlock": (
        """
        call("syscall", 444, struct.pack("Q", 1), 8, 0)
        pwned()
        """,
        errno.EPERM,
        errno.EPERM,
    ),
    "system-call filters": (
        """
        call("prctl", 22, 2, 0, 0, 0)
        pwned()
        """,
        errno.EPERM,
        errno.EPERM,
    ),
}


def script(attack: str) -> str:
    return BEGIN + textwrap.indent(textwrap.dedent(attack), "    ") + END


def check_stopped(session: Session, name: str) -> None:
    """Runs an attack, which must be refused or killed for its memory."""
    attack, with_cgroup, without = ATTACKS[name]
    refusal = with_cgroup if session.cgroup else without
    done = session.run(["python3", "-c", script(attack), "50"])
    if refusal is None:
        assert (done.ended, done.status) == ("memory", -9), done.text()
    else:
        assert done.output == f"refused {refusal}\n".encode()


@x86_only
@pytest.mark.parametrize("name", ATTACKS)
def test_memory_that_is_not_shown_is_counted_or_refused(kept: NamespaceSandbox, name: str) -> None:
    with kept.start(None, limits=LIMITS) as session:
        check_stopped(session, name)
        assert session.run("echo in order").output == b"in order\n"


@x86_only
@pytest.mark.parametrize("name", list(ATTACKS)[:7])
def test_the_same_memory_can_be_had_where_nothing_is_isolated(name: str) -> None:
    command = [sys.executable, "-c", script(ATTACKS[name][0]), "0"]
    assert subprocess.run(command, capture_output=True, check=True).stdout == b"PWNED"


@x86_only
@pytest.mark.skipif(
    kernel.landlock_version() < landlock.NEEDED_VERSION, reason="this kernel's Landlock is too old"
)
@pytest.mark.parametrize("cgroup", [True, False])
def test_landlock_counts_and_refuses_as_namespaces_do(cgroup: bool) -> None:
    sandbox = LandlockSandbox(cgroup=cgroup)
    names = ("shared pages handed back", "many small shared mappings", "a table of the kernel's")
    for name in names:
        with sandbox.start(None, limits=LIMITS) as session:
            check_stopped(session, name)
    sandbox.close()


def test_a_queue_of_a_socket_is_as_long_as_the_machine_makes_it_where_nobody_counts_it(
    kept: NamespaceSandbox,
) -> None:
    code = """
        import socket
        one, other = socket.socketpair()
        before = one.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        print(one.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == before)
    """
    with kept.start(None) as session:
        done = session.run(["python3", "-c", textwrap.dedent(code)])
        assert done.output == f"{not session.cgroup}\n".encode()


def test_a_queue_of_watches_is_bounded_by_their_number(kept: NamespaceSandbox) -> None:
    code = """
        import ctypes
        libc = ctypes.CDLL(None, use_errno=True)
        print(sum(libc.inotify_init1(0) >= 0 for _ in range(200)), ctypes.get_errno())
    """
    with kept.start(None) as session:
        done = session.run(["python3", "-c", textwrap.dedent(code)])
        assert done.output == f"8 {errno.EMFILE}\n".encode()


def test_a_child_between_fork_and_exec_does_not_count_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pages = [memory.Held("", 60, 0), memory.Held("", 60, 0)]
    looks = iter([*pages, *pages[:1]])  # at the second look the child is another program
    monkeypatch.setattr(memory, "look", lambda process: next(looks, None))
    assert not memory.Watched().over([2, 3], 100)
    looks = iter([*pages, *pages])
    assert memory.Watched().over([2, 3], 100)


def test_what_a_process_holds_is_read_from_proc() -> None:
    before = memory.look(os.getpid())
    shared = [mmap.mmap(-1, 4096) for _ in range(3)]
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(10)]
    after = memory.look(os.getpid())
    assert before
    assert after
    assert len(after.objects - before.objects) == 3
    assert after.other - before.other >= 10 * memory.PER_DESCRIPTOR
    assert 0 < after.proportional() <= after.resident + (64 << 20)
    for descriptor in opened:
        os.close(descriptor)
    for each in shared:
        each.close()
    assert memory.look(2**22 + 1) is None
