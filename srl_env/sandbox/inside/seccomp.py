"""The system-call filter: a BPF program put together by hand, for x86-64 and arm64.

A list of refusals, not of permissions: arbitrary projects' tests must run. Refused is

- what widens the kernel's surface: namespaces, mounts, bpf, io_uring, keyrings, ptrace, …;
- what the limits cannot count: memfd, System V memory, message queues, huge pages of the
  machine's pool, pages lent to a pipe, filters and rules kept in the kernel;
- what acts beyond the session: contexts for asynchronous I/O, of which the machine has a fixed
  number, and leases, which hold up others who open a file.

Sockets are unix ones only. Of file locks, only those are allowed that /proc/locks shows to the
session they belong to. Where no cgroup counts a session's memory, the filter is *strict*: shared
anonymous mappings are small, and sockets keep the send buffers that they have at first.
Limits, scheduling and priority are a process's own affair: not another's, the keeper's above all.
A wrong architecture kills the process; the x32 interface and clone3 answer ENOSYS, upon which
libraries use calls whose arguments a filter can read.
"""

from __future__ import annotations

import errno
import functools
import struct
from dataclasses import dataclass
from typing import Final

from .memory import SHARED_OBJECT

LOAD, JUMP_EQUAL, JUMP_AT_LEAST, JUMP_BITS, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, ERRNO, KILL = 0x7FFF0000, 0x00050000, 0x80000000
# Offsets in seccomp_data; of an argument of 64 bits, those of its lower half.
NUMBER, ARCHITECTURE = 0, 4
FIRST_ARGUMENT, SECOND_ARGUMENT, THIRD_ARGUMENT, FOURTH_ARGUMENT = 16, 24, 32, 40
UPPER_HALF: Final = 4
X32_BIT: Final = 0x40000000
NAMESPACE_FLAGS: Final = (
    0x7E020000  # CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
)
CLONE_FILES, CLONE_THREAD = 0x400, 0x10000
AF_UNIX, TIOCSTI, TIOCLINUX = 1, 0x5412, 0x541C
F_SETLEASE, F_NOTIFY, F_SETDELEG, F_OFD_SETLK, F_OFD_SETLKW = 1024, 1026, 1040, 37, 38
# Filters and a futex table of any size are kernel memory; small pages are counted exactly.
PR_SET_SECCOMP, PR_SET_THP_DISABLE, PR_FUTEX_HASH = 22, 41, 78
SOL_SOCKET, SO_SNDBUF, SO_SNDBUFFORCE = 1, 7, 32
MAP_SHARED, MAP_ANONYMOUS, MAP_HUGETLB = 0x1, 0x20, 0x40000
ONE_USER: Final = (2, 3)  # PRIO_USER and IOPRIO_WHO_USER: whoever belongs to the session

_EVERYWHERE: Final = {
    "pidfd_getfd": 438, "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427,
    "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432,
    "fspick": 433, "process_madvise": 440, "mount_setattr": 442, "quotactl_fd": 443,
    "landlock_create_ruleset": 444, "landlock_add_rule": 445, "landlock_restrict_self": 446,
    "memfd_secret": 447, "statmount": 457, "listmount": 458, "open_tree_attr": 467,
}  # fmt: skip
_X86_64: Final = {
    "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "bpf": 321,
    "perf_event_open": 298, "add_key": 248, "request_key": 249, "keyctl": 250,
    "userfaultfd": 323, "kexec_load": 246, "kexec_file_load": 320, "init_module": 175,
    "finit_module": 313, "delete_module": 176, "name_to_handle_at": 303,
    "open_by_handle_at": 304, "fanotify_init": 300, "personality": 135, "memfd_create": 319,
    "shmget": 29, "shmat": 30, "shmctl": 31, "shmdt": 67, "semget": 64, "semop": 65,
    "semctl": 66, "semtimedop": 220, "msgget": 68, "msgsnd": 69, "msgrcv": 70, "msgctl": 71,
    "mq_open": 240, "mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161,
    "unshare": 272, "setns": 308, "swapon": 167, "swapoff": 168, "reboot": 169,
    "sethostname": 170, "setdomainname": 171, "iopl": 172, "ioperm": 173, "quotactl": 179,
    "nfsservctl": 180, "acct": 163, "syslog": 103, "kcmp": 312, "move_pages": 279,
    "migrate_pages": 256, "mbind": 237, "set_mempolicy": 238, "vhangup": 153,
    "lookup_dcookie": 212, "clock_settime": 227, "settimeofday": 164, "adjtimex": 159,
    "clock_adjtime": 305, "modify_ldt": 154, "io_setup": 206, "vmsplice": 278, "seccomp": 317,
}  # fmt: skip
_X86_64_OWN: Final = {
    "prlimit64": 302, "sched_setaffinity": 203, "sched_setscheduler": 144, "sched_setparam": 142,
    "sched_setattr": 314,
}  # fmt: skip
_AARCH64: Final = {
    "ptrace": 117, "process_vm_readv": 270, "process_vm_writev": 271, "bpf": 280,
    "perf_event_open": 241, "add_key": 217, "request_key": 218, "keyctl": 219,
    "userfaultfd": 282, "kexec_load": 104, "kexec_file_load": 294, "init_module": 105,
    "finit_module": 273, "delete_module": 106, "name_to_handle_at": 264,
    "open_by_handle_at": 265, "fanotify_init": 262, "personality": 92, "memfd_create": 279,
    "shmget": 194, "shmctl": 195, "shmat": 196, "shmdt": 197, "semget": 190, "semctl": 191,
    "semtimedop": 192, "semop": 193, "msgget": 186, "msgctl": 187, "msgrcv": 188,
    "msgsnd": 189, "mq_open": 180, "mount": 40, "umount2": 39, "pivot_root": 41, "chroot": 51,
    "unshare": 97, "setns": 268, "swapon": 224, "swapoff": 225, "reboot": 142,
    "sethostname": 161, "setdomainname": 162, "quotactl": 60, "nfsservctl": 42, "acct": 89,
    "syslog": 116, "kcmp": 272, "move_pages": 239, "migrate_pages": 238, "mbind": 235,
    "set_mempolicy": 237, "vhangup": 58, "lookup_dcookie": 18, "clock_settime": 112,
    "settimeofday": 170, "adjtimex": 171, "clock_adjtime": 266, "io_setup": 0, "vmsplice": 75,
    "seccomp": 277,
}  # fmt: skip
_AARCH64_OWN: Final = {
    "prlimit64": 261, "sched_setaffinity": 122, "sched_setscheduler": 119, "sched_setparam": 118,
    "sched_setattr": 274,
}  # fmt: skip


@dataclass(frozen=True)
class Architecture:
    """What differs from one processor to the next: its audit number and call numbers.

    own: calls whose first argument is a process, 0 for the caller, and which are for that alone.
    """

    audit: int
    clone: int
    ioctl: int
    socket: int
    socketpair: int
    setpriority: int
    ioprio_set: int
    mmap: int
    fcntl: int
    prctl: int
    setsockopt: int
    own: dict[str, int]
    refused: dict[str, int]
    has_x32: bool = False


CLONE3: Final = 435
ARCHITECTURES: Final = {
    "x86_64": Architecture(
        0xC000003E, 56, 16, 41, 53, 141, 251, 9, 72, 157, 54,
        _X86_64_OWN, _X86_64 | _EVERYWHERE, has_x32=True,
    ),
    "aarch64": Architecture(
        0xC00000B7, 220, 29, 198, 199, 140, 30, 222, 25, 167, 208,
        _AARCH64_OWN, _AARCH64 | _EVERYWHERE,
    ),
}  # fmt: skip


@functools.cache
def seccomp_program(machine: str, *, strict: bool) -> bytes:
    """The filter for a processor, as the kernel's 8-byte instructions.

    strict: also refuse memory that only a cgroup counts.
    Raises OSError (ENOSYS) for a processor whose call numbers are not known here.
    """
    if machine not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise OSError(errno.ENOSYS, f"no system-call filter for {machine}; known: {known}")
    architecture = ARCHITECTURES[machine]
    program = [
        _instruction(LOAD, ARCHITECTURE),
        *_unless_equal(architecture.audit, KILL),
        _instruction(LOAD, NUMBER),
    ]
    if architecture.has_x32:
        program += [_instruction(JUMP_AT_LEAST, X32_BIT, 0, 1), _refuse(errno.ENOSYS)]
    program += _if_equal(CLONE3, [_refuse(errno.ENOSYS)])
    program += _if_equal(architecture.clone, _refuse_namespaces_and_shared_files())
    program += _if_equal(architecture.mmap, _refuse_uncounted_memory(strict=strict))
    program += _if_equal(architecture.ioctl, _refuse_values(SECOND_ARGUMENT, TIOCSTI, TIOCLINUX))
    commands = (F_SETLEASE, F_NOTIFY, F_SETDELEG, F_OFD_SETLK, F_OFD_SETLKW)
    program += _if_equal(architecture.fcntl, _refuse_values(SECOND_ARGUMENT, *commands))
    options = (PR_SET_SECCOMP, PR_SET_THP_DISABLE, PR_FUTEX_HASH)
    program += _if_equal(architecture.prctl, _refuse_values(FIRST_ARGUMENT, *options))
    if strict:
        program += _if_equal(architecture.setsockopt, _ignore_send_buffers())
    for call in (architecture.socket, architecture.socketpair):
        program += _if_equal(call, _refuse_all_but_unix())
    for call in sorted(architecture.own.values()):
        program += _if_equal(call, _refuse_unless_zero(FIRST_ARGUMENT))
    for call in (architecture.setpriority, architecture.ioprio_set):
        program += _if_equal(call, _refuse_others_priority())
    for call in sorted(architecture.refused.values()):
        program += _if_equal(call, [_refuse(errno.EPERM)])
    return b"".join([*program, _instruction(RETURN, ALLOW)])


def _refuse_namespaces_and_shared_files() -> list[bytes]:
    return [
        _instruction(LOAD, FIRST_ARGUMENT),
        _instruction(JUMP_BITS, NAMESPACE_FLAGS, 0, 1),
        _refuse(errno.EPERM),
        _instruction(JUMP_BITS, CLONE_FILES, 0, 2),
        _instruction(JUMP_BITS, CLONE_THREAD, 1, 0),
        _refuse(errno.EPERM),  # a lock outlives its process, unseen, where another has its files
        _instruction(RETURN, ALLOW),
    ]


def _refuse_values(argument: int, *values: int) -> list[bytes]:
    refusals = [part for value in values for part in _if_equal(value, [_refuse(errno.EPERM)])]
    return [_instruction(LOAD, argument), *refusals, _instruction(RETURN, ALLOW)]


def _refuse_uncounted_memory(*, strict: bool) -> list[bytes]:
    """Huge pages of the machine's pool and, where strict, large shared anonymous mappings."""
    refused = [_refuse(errno.ENOMEM)]
    program = [_instruction(LOAD, FOURTH_ARGUMENT), _instruction(JUMP_BITS, MAP_HUGETLB, 0, 1)]
    program += refused
    if strict:
        for bits in (MAP_ANONYMOUS, MAP_SHARED):
            program += [_instruction(JUMP_BITS, bits, 1, 0), _instruction(RETURN, ALLOW)]
        program += [
            _instruction(LOAD, SECOND_ARGUMENT + UPPER_HALF),
            _instruction(JUMP_EQUAL, 0, 1, 0),
            *refused,
            _instruction(LOAD, SECOND_ARGUMENT),
            _instruction(JUMP_AT_LEAST, SHARED_OBJECT + 1, 0, 1),
            *refused,
        ]
    return [*program, _instruction(RETURN, ALLOW)]


def _ignore_send_buffers() -> list[bytes]:
    """Has the call succeed and change nothing, as where the machine allows no larger ones."""
    options = [part for o in (SO_SNDBUF, SO_SNDBUFFORCE) for part in _if_equal(o, [_refuse(0)])]
    allow = _instruction(RETURN, ALLOW)
    sockets = _if_equal(SOL_SOCKET, [_instruction(LOAD, THIRD_ARGUMENT), *options, allow])
    return [_instruction(LOAD, SECOND_ARGUMENT), *sockets, allow]


def _refuse_all_but_unix() -> list[bytes]:
    return [
        _instruction(LOAD, FIRST_ARGUMENT),
        *_if_equal(AF_UNIX, [_instruction(RETURN, ALLOW)]),
        _refuse(errno.EPERM),
    ]


def _refuse_unless_zero(argument: int) -> list[bytes]:
    return [
        _instruction(LOAD, argument),
        *_if_equal(0, [_instruction(RETURN, ALLOW)]),
        _refuse(errno.EPERM),
    ]


def _refuse_others_priority() -> list[bytes]:
    users = [part for kind in ONE_USER for part in _if_equal(kind, [_refuse(errno.EPERM)])]
    return [_instruction(LOAD, FIRST_ARGUMENT), *users, *_refuse_unless_zero(SECOND_ARGUMENT)]


def _if_equal(value: int, then: list[bytes]) -> list[bytes]:
    """Runs `then`, which must end by returning, where the loaded word equals the value."""
    return [_instruction(JUMP_EQUAL, value, 0, len(then)), *then]


def _unless_equal(value: int, verdict: int) -> list[bytes]:
    return [_instruction(JUMP_EQUAL, value, 1, 0), _instruction(RETURN, verdict)]


def _refuse(number: int) -> bytes:
    return _instruction(RETURN, ERRNO | number)


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
