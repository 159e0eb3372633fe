"""The system-call filter: a BPF program for x86-64 and arm64.

The filter lists what is refused, not what is allowed, because arbitrary projects' tests must run.
It refuses:

- calls that widen the kernel's attack surface: namespaces, mounts, bpf, io_uring, keyrings, ptrace;
- what the limits cannot count: memfd, System V memory, message queues, huge pages of the
  machine's pool, pages lent to a pipe, filters and rules kept in the kernel;
- what acts beyond the session: contexts for asynchronous I/O, of which the machine has a fixed
  number, and leases, which block others who open a file.

Only unix sockets can be made. Of file locks, only those are allowed that /proc/locks shows to the
session they belong to. Where no cgroup counts a session's memory, the filter is *strict*: shared
anonymous mappings are small, and sockets keep their initial send buffers.
A process may change its own limits, scheduling and priority, but not those of another process.
A wrong architecture kills the process. The x32 interface and clone3 answer ENOSYS; libraries then
use calls whose arguments a filter can read.
"""

from __future__ import annotations

import errno
import functools
import struct
from typing import Final

from .memory import SHARED_OBJECT

LOAD, JUMP, JUMP_EQUAL, JUMP_AT_LEAST, JUMP_BITS, RETURN = 0x20, 0x05, 0x15, 0x35, 0x45, 0x06
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
ONE_USER: Final = (2, 3)  # PRIO_USER and IOPRIO_WHO_USER: every process of the session

Rule = list[bytes]
AUDIT: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
# Call numbers on x86-64 and arm64; -1 where an architecture lacks the call.
_FILTERED: Final = {
    "clone": (56, 220), "clone3": (435, 435), "ioctl": (16, 29), "socket": (41, 198),
    "socketpair": (53, 199), "setpriority": (141, 140), "ioprio_set": (251, 30),
    "mmap": (9, 222), "fcntl": (72, 25), "prctl": (157, 167), "setsockopt": (54, 208),
}  # fmt: skip
# The first argument is a process; 0, the caller, is allowed.
OWN: Final = {
    "prlimit64": (302, 261), "sched_setaffinity": (203, 122), "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118), "sched_setattr": (314, 274),
}  # fmt: skip
REFUSED: Final = {
    "pidfd_getfd": (438, 438), "io_uring_setup": (425, 425), "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427), "open_tree": (428, 428), "move_mount": (429, 429),
    "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "process_madvise": (440, 440), "mount_setattr": (442, 442), "quotactl_fd": (443, 443),
    "landlock_create_ruleset": (444, 444), "landlock_add_rule": (445, 445),
    "landlock_restrict_self": (446, 446), "memfd_secret": (447, 447), "statmount": (457, 457),
    "listmount": (458, 458), "open_tree_attr": (467, 467), "ptrace": (101, 117),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "bpf": (321, 280),
    "perf_event_open": (298, 241), "add_key": (248, 217), "request_key": (249, 218),
    "keyctl": (250, 219), "userfaultfd": (323, 282), "kexec_load": (246, 104),
    "kexec_file_load": (320, 294), "init_module": (175, 105), "finit_module": (313, 273),
    "delete_module": (176, 106), "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262), "personality": (135, 92), "memfd_create": (319, 279),
    "shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195), "shmdt": (67, 197),
    "semget": (64, 190), "semop": (65, 193), "semctl": (66, 191), "semtimedop": (220, 192),
    "msgget": (68, 186), "msgsnd": (69, 189), "msgrcv": (70, 188), "msgctl": (71, 187),
    "mq_open": (240, 180), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41),
    "chroot": (161, 51), "unshare": (272, 97), "setns": (308, 268), "swapon": (167, 224),
    "swapoff": (168, 225), "reboot": (169, 142), "sethostname": (170, 161),
    "setdomainname": (171, 162), "iopl": (172, -1), "ioperm": (173, -1), "quotactl": (179, 60),
    "nfsservctl": (180, 42), "acct": (163, 89), "syslog": (103, 116), "kcmp": (312, 272),
    "move_pages": (279, 239), "migrate_pages": (256, 238), "mbind": (237, 235),
    "set_mempolicy": (238, 237), "vhangup": (153, 58), "lookup_dcookie": (212, 18),
    "clock_settime": (227, 112), "settimeofday": (164, 170), "adjtimex": (159, 171),
    "clock_adjtime": (305, 266), "modify_ldt": (154, -1), "io_setup": (206, 0),
    "vmsplice": (278, 75), "seccomp": (317, 277),
}  # fmt: skip


def call_number(machine: str, name: str) -> int:
    """The number of a call that the filter treats; -1 where the processor has no such call."""
    return (_FILTERED | OWN | REFUSED)[name][list(AUDIT).index(machine)]


@functools.cache
def seccomp_program(machine: str, *, strict: bool) -> bytes:
    """The filter for a processor, as the kernel's 8-byte instructions.

    strict: also refuse memory that only a cgroup counts.
    Raises OSError (ENOSYS) for a processor whose call numbers are not known here.
    """
    if machine not in AUDIT:
        known = ", ".join(AUDIT)
        raise OSError(errno.ENOSYS, f"no system-call filter for {machine}; known: {known}")
    start = [
        _instruction(LOAD, ARCHITECTURE),
        _instruction(JUMP_EQUAL, AUDIT[machine], 1, 0),
        _instruction(RETURN, KILL),
        _instruction(LOAD, NUMBER),
    ]
    if machine == "x86_64":
        start += [_instruction(JUMP_AT_LEAST, X32_BIT, 0, 1), _refuse(errno.ENOSYS)]
    return b"".join(start + _search(_ranges(machine, strict=strict)))


def _ranges(machine: str, *, strict: bool) -> list[tuple[int, Rule]]:
    """Ranges of call numbers with one rule each, as their first numbers and rules, in order."""
    rules = {call_number(machine, name): rule for name, rule in _rules(strict=strict).items()}
    allowed = [_instruction(RETURN, ALLOW)]
    found = [(0, rules.get(0, allowed))]
    for number in range(1, max(rules) + 2):
        if (rule := rules.get(number, allowed)) != found[-1][1]:
            found.append((number, rule))
    return found


def _search(ranges: list[tuple[int, Rule]]) -> Rule:
    """Finds the rule for the loaded number by bisection.

    The kernel runs a new filter on every call number, so a short path makes sessions start sooner.
    """
    if len(ranges) == 1:
        return ranges[0][1]
    middle = len(ranges) // 2
    below, above = _search(ranges[:middle]), _search(ranges[middle:])
    first = ranges[middle][0]
    if len(below) < 256:
        return [_instruction(JUMP_AT_LEAST, first, len(below), 0), *below, *above]
    far = [_instruction(JUMP_AT_LEAST, first, 0, 1), _instruction(JUMP, len(below))]
    return [*far, *below, *above]


def _rules(*, strict: bool) -> dict[str, Rule]:
    """What runs for each call, by name; every rule ends by returning."""
    commands = (F_SETLEASE, F_NOTIFY, F_SETDELEG, F_OFD_SETLK, F_OFD_SETLKW)
    options = (PR_SET_SECCOMP, PR_SET_THP_DISABLE, PR_FUTEX_HASH)
    rules = {
        "clone3": [_refuse(errno.ENOSYS)],
        "clone": _refuse_namespaces_and_shared_files(),
        "mmap": _refuse_uncounted_memory(strict=strict),
        "ioctl": _refuse_values(SECOND_ARGUMENT, TIOCSTI, TIOCLINUX),
        "fcntl": _refuse_values(SECOND_ARGUMENT, *commands),
        "prctl": _refuse_values(FIRST_ARGUMENT, *options),
        "setsockopt": _ignore_send_buffers() if strict else [_instruction(RETURN, ALLOW)],
    }
    rules |= dict.fromkeys(("socket", "socketpair"), _refuse_unless(FIRST_ARGUMENT, AF_UNIX))
    rules |= dict.fromkeys(("setpriority", "ioprio_set"), _refuse_others_priority())
    rules |= dict.fromkeys(OWN, _refuse_unless(FIRST_ARGUMENT, 0))
    return rules | {name: [_refuse(errno.EPERM)] for name in REFUSED}


def _refuse_namespaces_and_shared_files() -> Rule:
    return [
        _instruction(LOAD, FIRST_ARGUMENT),
        _instruction(JUMP_BITS, NAMESPACE_FLAGS, 0, 1),
        _refuse(errno.EPERM),
        _instruction(JUMP_BITS, CLONE_FILES, 0, 2),
        _instruction(JUMP_BITS, CLONE_THREAD, 1, 0),
        _refuse(errno.EPERM),  # a lock outlives its process, unseen, where another has its files
        _instruction(RETURN, ALLOW),
    ]


def _refuse_values(argument: int, *values: int) -> Rule:
    refusals = [part for value in values for part in _if_equal(value, [_refuse(errno.EPERM)])]
    return [_instruction(LOAD, argument), *refusals, _instruction(RETURN, ALLOW)]


def _refuse_unless(argument: int, value: int) -> Rule:
    allowed = _if_equal(value, [_instruction(RETURN, ALLOW)])
    return [_instruction(LOAD, argument), *allowed, _refuse(errno.EPERM)]


def _refuse_others_priority() -> Rule:
    users = [part for kind in ONE_USER for part in _if_equal(kind, [_refuse(errno.EPERM)])]
    return [_instruction(LOAD, FIRST_ARGUMENT), *users, *_refuse_unless(SECOND_ARGUMENT, 0)]


def _refuse_uncounted_memory(*, strict: bool) -> Rule:
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


def _ignore_send_buffers() -> Rule:
    """Has the call succeed and change nothing, as where the machine allows no larger ones."""
    options = [part for o in (SO_SNDBUF, SO_SNDBUFFORCE) for part in _if_equal(o, [_refuse(0)])]
    allow = _instruction(RETURN, ALLOW)
    sockets = _if_equal(SOL_SOCKET, [_instruction(LOAD, THIRD_ARGUMENT), *options, allow])
    return [_instruction(LOAD, SECOND_ARGUMENT), *sockets, allow]


def _if_equal(value: int, then: Rule) -> Rule:
    """Runs `then`, which must end by returning, where the loaded word equals the value."""
    return [_instruction(JUMP_EQUAL, value, 0, len(then)), *then]


def _refuse(number: int) -> bytes:
    return _instruction(RETURN, ERRNO | number)


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
