"""The Linux calls that Python lacks, through ctypes: namespaces, mounts, capabilities, Landlock.

Each function raises OSError with the kernel's errno and the name of the call. Nothing here
decides anything; ``namespaces`` and ``landlock`` do.
"""

from __future__ import annotations

import ctypes
import os
import struct
from typing import Final

MACHINE: Final = os.uname().machine
_PIVOT_ROOT: Final = {"x86_64": 155, "aarch64": 41}.get(MACHINE)
# Numbers since Linux 5.0 are the same on every architecture.
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446

CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 0x4000, 0x40000
MNT_DETACH = 2
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV, MOUNT_ATTR_IDMAP = 1, 2, 4, 0x100000
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_DROP = 1, 4, 22, 24
PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 36, 38, 47

_AT_FDCWD, _AT_EMPTY_PATH, _AT_RECURSIVE = -100, 0x1000, 0x8000
_OPEN_TREE_CLONE, _OPEN_TREE_CLOEXEC, _MOVE_MOUNT_F_EMPTY_PATH = 1, os.O_CLOEXEC, 4

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def unshare(flags: int) -> None:
    """Moves the calling process into new namespaces (CLONE_NEW*)."""
    _check("unshare", _libc.unshare(ctypes.c_int(flags)))


def mount(source: str, target: str, kind: str | None, flags: int = 0, data: str = "") -> None:
    """mount(2); kind None changes an existing mount."""
    places = os.fsencode(source), os.fsencode(target)
    options = kind.encode() if kind else None, ctypes.c_ulong(flags), data.encode() or None
    _check(f"mount {kind or ''} on {target}", _libc.mount(*places, *options))


def unmount(target: str) -> None:
    """Detaches a mount at once; it lives on for those who hold it open."""
    _check(f"umount2 {target}", _libc.umount2(os.fsencode(target), MNT_DETACH))


def pivot_root() -> None:
    """Makes the working directory, a mount point, the root, and lets go of the old one."""
    if _PIVOT_ROOT is None:
        raise OSError(38, f"pivot_root: unknown call number on {MACHINE}")
    _syscall("pivot_root", _PIVOT_ROOT, b".", b".")
    unmount(".")
    os.chdir("/")


def clone_mount(path: str) -> int:
    """A descriptor of a detached copy of the mounts at and below a path (a bind mount)."""
    flags = _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC | _AT_RECURSIVE
    return _syscall(f"open_tree {path}", _OPEN_TREE, _AT_FDCWD, os.fsencode(path), flags)


def attach_mount(descriptor: int, path: str) -> None:
    """Puts a detached mount at a path."""
    places = descriptor, b"", _AT_FDCWD, os.fsencode(path)
    _syscall(f"move_mount to {path}", _MOVE_MOUNT, *places, _MOVE_MOUNT_F_EMPTY_PATH)


def set_mount(
    descriptor: int, attributes: int, *, user_namespace: int = 0, deep: bool = True
) -> None:
    """Sets MOUNT_ATTR_* on a mount and, where deep, on all below it."""
    packed = struct.pack("QQQQ", attributes, 0, 0, user_namespace)
    flags = _AT_EMPTY_PATH | (_AT_RECURSIVE if deep else 0)
    _syscall("mount_setattr", _MOUNT_SETATTR, descriptor, b"", flags, packed, len(packed))


def write_file(path: str, text: str, flags: int = 0) -> None:
    """Writes a short text into a file that is there, or with O_CREAT into a new one."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | flags, 0o644)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def prctl(option: int, value: int = 0, third: int = 0) -> None:
    """prctl(2) with up to two arguments."""
    arguments = [ctypes.c_ulong(number) for number in (value, third, 0, 0)]
    _check(f"prctl {option}", _libc.prctl(ctypes.c_int(option), *arguments))


def drop_capabilities() -> None:
    """Gives up every capability for good: bounding and ambient sets, then the process's own."""
    for capability in range(64):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError:  # past the last one this kernel knows
            break
    prctl(PR_CAP_AMBIENT, 4)  # PR_CAP_AMBIENT_CLEAR_ALL
    header = struct.pack("=Ii", 0x20080522, 0)
    _check("capset", _libc.capset(header, struct.pack("=6I", *[0] * 6)))
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def set_seccomp(program: bytes) -> None:
    """Installs a filter of 8-byte BPF instructions on the calling process, for good."""
    buffer = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(buffer))
    pointer = ctypes.create_string_buffer(header, len(header))
    prctl(PR_SET_SECCOMP, 2, ctypes.addressof(pointer))


def landlock_version() -> int:
    """The version of Landlock this kernel offers; 0 where it has none."""
    try:
        return _syscall("landlock_create_ruleset", _LANDLOCK_CREATE, 0, 0, 1)
    except OSError:
        return 0


def landlock_restrict(rules: list[tuple[int, int]], handled: tuple[int, int, int]) -> None:
    """Restricts the calling process to the rules, for good.

    rules: (descriptor of a path, access allowed beneath it).
    handled: accesses refused elsewhere: file system, network, scopes (Landlock ≥ 6).
    """
    attributes = struct.pack("QQQ", *handled)
    size = len(attributes)
    ruleset = _syscall("landlock_create_ruleset", _LANDLOCK_CREATE, attributes, size, 0)
    try:
        for path, access in rules:
            rule = struct.pack("=Qi", access, path)
            _syscall("landlock_add_rule", _LANDLOCK_ADD, ruleset, 1, rule, 0)
        _syscall("landlock_restrict_self", _LANDLOCK_RESTRICT, ruleset, 0)
    finally:
        os.close(ruleset)


def _syscall(call: str, number: int, *arguments: int | bytes) -> int:
    words = [part if isinstance(part, bytes) else ctypes.c_long(part) for part in arguments]
    return _check(call, _libc.syscall(ctypes.c_long(number), *words))


def _check(call: str, result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")
    return int(result)
