"""The filter's verdicts, by running its program in a small interpreter of BPF."""

from __future__ import annotations

import errno
import struct

import pytest

from srl_env.sandbox.inside import seccomp

I386 = 0x40000003
ALLOW, KILL = seccomp.ALLOW, seccomp.KILL
SPECIAL = ("clone", "clone3", "ioctl", "socket", "socketpair")


both = pytest.mark.parametrize("machine", ["x86_64", "aarch64"])


def verdict(
    machine: str, call: str | int, *arguments: int, strict: bool = True, audit: int | None = None
) -> int:
    """What the program returns for one call: ALLOW, KILL, or the errno it fails with.

    call: its name or number. audit: the architecture that makes it; default: the machine's own.
    """
    padded = [*arguments, *[0] * (6 - len(arguments))]
    number = call if isinstance(call, int) else seccomp.call_number(machine, call)
    data = struct.pack("=IIQ6Q", number, audit or seccomp.AUDIT[machine], 0, *padded)
    program = list(struct.iter_unpack("=HBBI", seccomp.seccomp_program(machine, strict=strict)))
    loaded, at = 0, 0
    while True:
        code, if_true, if_false, value = program[at]
        at += 1
        if code == seccomp.LOAD:
            loaded = struct.unpack_from("=I", data, value)[0]
        elif code == seccomp.RETURN:
            return value & 0xFFFF if value & 0xFFFF0000 == seccomp.ERRNO else value
        else:
            holds = {
                seccomp.JUMP_EQUAL: loaded == value,
                seccomp.JUMP_AT_LEAST: loaded >= value,
                seccomp.JUMP_BITS: bool(loaded & value),
                seccomp.JUMP: True,
            }[code]
            at += value if code == seccomp.JUMP else if_true if holds else if_false


@both
def test_every_call_on_the_list_is_refused_and_plain_ones_pass(machine: str) -> None:
    for name in seccomp.REFUSED:
        if seccomp.call_number(machine, name) >= 0:
            assert verdict(machine, name) == errno.EPERM, name
    special = {seccomp.call_number(machine, name) for name in (*SPECIAL, *seccomp.REFUSED)}
    for number in set(range(600)) - special:
        assert verdict(machine, number) == ALLOW, number


@both
def test_clone_may_make_threads_and_processes_but_no_namespaces(machine: str) -> None:
    thread, process, spawned, files = 0x3D0F00, 0x1200011, 0x4111, 0x411
    assert verdict(machine, "clone", thread) == ALLOW
    assert verdict(machine, "clone", process) == ALLOW
    assert verdict(machine, "clone", spawned) == ALLOW  # by vfork
    assert verdict(machine, "clone", files) == errno.EPERM  # a process that shares files
    for bit in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
        assert verdict(machine, "clone", process | bit) == errno.EPERM
    assert verdict(machine, "clone3") == errno.ENOSYS


@both
def test_limits_and_priority_can_be_set_for_oneself_alone(machine: str) -> None:
    for call in seccomp.OWN:
        assert verdict(machine, call, 0) == ALLOW
        assert verdict(machine, call, 1) == errno.EPERM
    for call, one, user in (("setpriority", 0, 2), ("ioprio_set", 1, 3)):
        assert verdict(machine, call, one, 0) == ALLOW
        assert verdict(machine, call, one, 1) == errno.EPERM
        assert verdict(machine, call, user, 0) == errno.EPERM


SHARED, PRIVATE, SHARED_VALIDATE, FIXED, NO_RESERVE = 0x1, 0x2, 0x3, 0x10, 0x4000
LIMIT = seccomp.SHARED_OBJECT
ALWAYS, STRICT, NEVER = (True, True), (True, False), (False, False)


@both
@pytest.mark.parametrize(
    ("length", "flags", "refused"),
    [
        (LIMIT, SHARED | seccomp.MAP_ANONYMOUS, NEVER),
        (LIMIT + 1, SHARED | seccomp.MAP_ANONYMOUS, STRICT),
        (1 << 32, SHARED | seccomp.MAP_ANONYMOUS, STRICT),  # its lower half is 0
        (1 << 63, SHARED | seccomp.MAP_ANONYMOUS | FIXED | NO_RESERVE, STRICT),
        (LIMIT + 1, SHARED_VALIDATE | seccomp.MAP_ANONYMOUS, STRICT),
        (1 << 40, PRIVATE | seccomp.MAP_ANONYMOUS, NEVER),
        (1 << 40, SHARED, NEVER),  # of a file
        (4096, PRIVATE | seccomp.MAP_ANONYMOUS | seccomp.MAP_HUGETLB, ALWAYS),
        (4096, SHARED | seccomp.MAP_HUGETLB | 21 << 26, ALWAYS),  # of 2 MB each
    ],
)
def test_memory_that_nobody_counts_is_refused(
    machine: str, length: int, flags: int, refused: tuple[bool, bool]
) -> None:
    for strict, no in zip((True, False), refused, strict=True):
        found = verdict(machine, "mmap", 0, length, 3, flags, 2**64 - 1, 0, strict=strict)
        assert found == (errno.ENOMEM if no else ALLOW)


@both
@pytest.mark.parametrize(
    ("command", "refused"),
    [
        (6, NEVER),  # F_SETLK
        (4, NEVER),  # F_SETFL
        (1031, NEVER),  # F_SETPIPE_SZ
        (seccomp.F_SETLEASE, ALWAYS),
        (seccomp.F_NOTIFY, ALWAYS),
        (seccomp.F_SETDELEG, ALWAYS),
        (seccomp.F_OFD_SETLK, ALWAYS),
        (seccomp.F_OFD_SETLKW, ALWAYS),
    ],
)
def test_leases_are_refused_and_locks_are_not(
    machine: str, command: int, refused: tuple[bool, bool]
) -> None:
    for strict, no in zip((True, False), refused, strict=True):
        found = verdict(machine, "fcntl", 3, command, 0, strict=strict)
        assert found == (errno.EPERM if no else ALLOW)


@both
def test_kernel_tables_of_any_size_cannot_be_asked_for(machine: str) -> None:
    found = {option: verdict(machine, "prctl", option) for option in range(100)}
    assert {option for option, said in found.items() if said != ALLOW} == {22, 41, 78}


@both
@pytest.mark.parametrize(
    ("level", "option", "ignored"),
    [(1, 7, STRICT), (1, 32, STRICT), (1, 8, NEVER), (1, 16, NEVER), (6, 7, NEVER), (0, 1, NEVER)],
)
def test_send_buffers_that_nobody_counts_stay_as_they_are(
    machine: str, level: int, option: int, ignored: tuple[bool, bool]
) -> None:
    for strict, yes in zip((True, False), ignored, strict=True):
        assert verdict(machine, "setsockopt", 3, level, option, strict=strict) == (
            0 if yes else ALLOW
        )


def test_only_unix_sockets_can_be_made() -> None:
    for call in (41, 53):
        found = {family: verdict("x86_64", call, family) for family in range(64)}
        assert found == {family: ALLOW if family == 1 else errno.EPERM for family in range(64)}


def test_input_cannot_be_pushed_into_a_terminal() -> None:
    assert verdict("x86_64", 16, 0, 0x5412) == errno.EPERM
    assert verdict("x86_64", 16, 0, 0x541C) == errno.EPERM
    assert verdict("x86_64", 16, 0, 0x5413) == ALLOW  # asking for the window's size


def test_other_interfaces_to_the_kernel_are_closed() -> None:
    assert verdict("x86_64", 1, audit=I386) == KILL
    assert verdict("aarch64", 1, audit=seccomp.AUDIT["x86_64"]) == KILL
    assert verdict("x86_64", 0x40000000 | 39) == errno.ENOSYS


def test_an_unknown_processor_is_an_error_and_not_an_open_door() -> None:
    with pytest.raises(OSError, match="no system-call filter for riscv64; known: x86_64, aarch64"):
        seccomp.seccomp_program("riscv64", strict=True)
