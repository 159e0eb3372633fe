"""Memory of a session without a cgroup: added up from /proc, process by process.

A process is charged for all it holds, in its page tables or not: swapped pages, the page tables
themselves, mappings, shared anonymous objects, open descriptors. The filter refuses what cannot
be seen from here; see ``seccomp``.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import re
import time
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, Protocol

# The largest shared anonymous mapping the filter allows. Each one that is seen counts as this,
# because the part that is still mapped says nothing about its size.
SHARED_OBJECT: Final = 1 << 20
PER_MAPPING: Final = 512
PER_DESCRIPTOR: Final = 16 << 10  # pipes, epoll lists, buffers of /proc files
LOCKS_BYTES: Final = 4 << 20  # about 80,000 locks
_SECOND_LOOK_S: Final = 0.005


class Memory(Protocol):
    """What bounds the memory of a session's commands.

    strict: the filter must refuse what cannot be seen in /proc.
    join: makes the calling process one of those that count.
    killed: how many processes the kernel has killed because memory ran out.
    over: whether the processes together hold more than the limit, in bytes.
    """

    @property
    def strict(self) -> bool: ...

    def join(self) -> None: ...

    def killed(self) -> int: ...

    def over(self, processes: Sequence[int], limit: int) -> bool: ...


class Watched:
    """Memory without a cgroup: only regular checks keep it within its limit."""

    strict = True

    def join(self) -> None:
        """Does nothing: every process of the session counts."""

    def killed(self) -> int:
        return 0

    def over(self, processes: Sequence[int], limit: int) -> bool:
        """Over twice in a row: between fork and exec a child may count its parent's memory."""
        if not self._over(processes, limit):
            return False
        time.sleep(_SECOND_LOOK_S)
        return self._over(processes, limit)

    def _over(self, processes: Sequence[int], limit: int) -> bool:
        rest = 0
        found: list[Held] = []
        shared: set[bytes] = set()
        for process in processes:
            if rest + len(shared) * SHARED_OBJECT > limit:
                return True  # looking at the rest may take long
            if held := look(process):
                found.append(held)
                rest += held.other
                shared |= held.objects
        rest += len(shared) * SHARED_OBJECT
        if rest + sum(held.resident for held in found) <= limit:
            return False
        return rest + sum(held.proportional() for held in found) > limit


class Held(NamedTuple):
    """What one process holds.

    folder: that of a thread with memory. resident: pages in its page tables, in bytes; other:
    what else it answers for; objects: shared anonymous ones, by number.
    """

    folder: str
    resident: int
    other: int
    objects: frozenset[bytes] = frozenset()

    def proportional(self) -> int:
        """Resident memory with shared pages split among those who share them."""
        with contextlib.suppress(OSError), open(f"{self.folder}/smaps_rollup", "rb") as file:
            if found := re.search(rb"^Pss: +(\d+) kB", file.read(), re.MULTILINE):
                return int(found[1]) * 1024
        return self.resident


def look(process: int) -> Held | None:
    """What a process holds now; None where it has no memory (any more)."""
    for folder in _threads(process):
        with contextlib.suppress(OSError):
            with open(f"{folder}/status", "rb") as file:
                status = {name: int(kb) * 1024 for name, kb in _KILOBYTES.findall(file.read())}
            if b"VmRSS" in status:
                return _held(folder, status)
    return None


def _threads(process: int) -> Iterator[str]:
    """Folders of a process, then of its threads: one that has ended shows no memory."""
    yield f"/proc/{process}"
    with contextlib.suppress(OSError):
        yield from (
            f"/proc/{process}/task/{thread}" for thread in os.listdir(f"/proc/{process}/task")
        )


def _held(folder: str, status: dict[bytes, int]) -> Held:
    other = status.get(b"VmSwap", 0) + status.get(b"VmPTE", 0) + _descriptor_bytes(folder)
    try:
        with open(f"{folder}/maps", "rb") as file:
            maps = file.read()
    except PermissionError:  # it hides them: then all it has mapped counts
        return Held(folder, status[b"VmRSS"], other + status[b"VmSize"])
    other += maps.count(b"\n") * PER_MAPPING
    return Held(folder, status[b"VmRSS"], other, frozenset(_SHARED.findall(maps)))


def _descriptor_bytes(folder: str) -> int:
    with contextlib.suppress(OSError):
        count = os.stat(f"{folder}/fd").st_size  # since Linux 6.2
        return PER_DESCRIPTOR * (count or len(os.listdir(f"{folder}/fd")))
    return 0


def too_many_locks() -> bool:
    """Whether the locks of this PID namespace fill more than LOCKS_BYTES of /proc/locks.

    No cgroup counts them. One read at that place is quick; to read all of it is not.
    """
    with contextlib.suppress(OSError), open("/proc/locks", "rb", buffering=0) as file:
        return bool(os.pread(file.fileno(), 1, LOCKS_BYTES))
    return False


def _shared_device() -> bytes:
    """The device number of shared anonymous memory, as /proc/*/maps writes it."""
    with mmap.mmap(-1, mmap.PAGESIZE), open("/proc/self/maps", "rb") as file:
        found = re.search(
            rb"^\S+ ...s \S+ (\S+) \d+ +/dev/zero \(deleted\)$", file.read(), re.MULTILINE
        )
    return found[1] if found else b"00:01"


_KILOBYTES: Final = re.compile(rb"^(VmSize|VmRSS|VmSwap|VmPTE):\s+(\d+) kB", re.MULTILINE)
_SHARED: Final = re.compile(rb"^\S+ ...s \S+ " + _shared_device() + rb" (\d+)", re.MULTILINE)
