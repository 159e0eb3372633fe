"""The filter's verdicts, by running its program in a small interpreter of BPF."""

from __future__ import annotations

import errno
import struct

import pytest

from srl_env.sandbox.inside import seccomp

X86, ARM, I386 = 0xC000003E, 0xC00000B7, 0x40000003
ALLOW, KILL = seccomp.ALLOW, seccomp.KILL


def verdict(machine: str, audit: int, number: int, *arguments: int) -> int:
    """What the program returns for one call: ALLOW, KILL, or the errno it fails with."""
    padded = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("=IIQ6Q", number, audit, 0, *padded)
    program = list(struct.iter_unpack("=HBBI", seccomp.seccomp_program(machine)))
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
            }[code]
            at += if_true if holds else if_false


@pytest.mark.parametrize(("machine", "audit"), [("x86_64", X86), ("aarch64", ARM)])
def test_every_call_on_the_list_is_refused_and_plain_ones_pass(machine: str, audit: int) -> None:
    architecture = seccomp.ARCHITECTURES[machine]
    for name, number in architecture.refused.items():
        assert verdict(machine, audit, number) == errno.EPERM, name
    special = {architecture.clone, architecture.ioctl, architecture.socket}
    special |= {architecture.socketpair, seccomp.CLONE3, *architecture.refused.values()}
    for number in set(range(425)) - special:
        assert verdict(machine, audit, number) == ALLOW, number


@pytest.mark.parametrize(("machine", "audit"), [("x86_64", X86), ("aarch64", ARM)])
def test_clone_may_make_threads_and_processes_but_no_namespaces(machine: str, audit: int) -> None:
    clone = seccomp.ARCHITECTURES[machine].clone
    thread, process = 0x3D0F00, 0x1200011
    assert verdict(machine, audit, clone, thread) == ALLOW
    assert verdict(machine, audit, clone, process) == ALLOW
    for bit in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
        assert verdict(machine, audit, clone, process | bit) == errno.EPERM
    assert verdict(machine, audit, seccomp.CLONE3) == errno.ENOSYS


@pytest.mark.parametrize(("machine", "audit"), [("x86_64", X86), ("aarch64", ARM)])
def test_limits_and_priority_can_be_set_for_oneself_alone(machine: str, audit: int) -> None:
    architecture = seccomp.ARCHITECTURES[machine]
    for call in architecture.own.values():
        assert verdict(machine, audit, call, 0) == ALLOW
        assert verdict(machine, audit, call, 1) == errno.EPERM
    for call, one, user in ((architecture.setpriority, 0, 2), (architecture.ioprio_set, 1, 3)):
        assert verdict(machine, audit, call, one, 0) == ALLOW
        assert verdict(machine, audit, call, one, 1) == errno.EPERM
        assert verdict(machine, audit, call, user, 0) == errno.EPERM


def test_only_unix_sockets_can_be_made() -> None:
    for call in (41, 53):
        found = {family: verdict("x86_64", X86, call, family) for family in range(64)}
        assert found == {family: ALLOW if family == 1 else errno.EPERM for family in range(64)}


def test_input_cannot_be_pushed_into_a_terminal() -> None:
    assert verdict("x86_64", X86, 16, 0, 0x5412) == errno.EPERM
    assert verdict("x86_64", X86, 16, 0, 0x541C) == errno.EPERM
    assert verdict("x86_64", X86, 16, 0, 0x5413) == ALLOW  # asking for the window's size


def test_other_interfaces_to_the_kernel_are_closed() -> None:
    assert verdict("x86_64", I386, 1) == KILL
    assert verdict("aarch64", X86, 1) == KILL
    assert verdict("x86_64", X86, 0x40000000 | 39) == errno.ENOSYS


def test_an_unknown_processor_is_an_error_and_not_an_open_door() -> None:
    with pytest.raises(OSError, match="no system-call filter for riscv64; known: x86_64, aarch64"):
        seccomp.seccomp_program("riscv64")
