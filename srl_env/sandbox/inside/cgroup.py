"""A memory cgroup for each session, where one can be made: what the kernel itself counts.

Version 1: below the launcher's own cgroup. Version 2: beside it or further up, in the nearest
cgroup that hands the memory controller to its children. Each command moves into the session's
cgroup before any code of the policy runs. The keeper stays outside, so the kernel never kills it
when memory runs out.

The kernel's limit covers all memory that a session holds, its files and the kernel memory on its
behalf included. The keeper checks what is held besides files.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from . import kernel
from .namespaces import Identity, become

PREFIX: Final = "srl-sandbox-"
_REMOVE_S: Final = 2.0
_SIZES: Final = ("memory_bytes", "workspace_bytes", "scratch_bytes")
# What cannot be dropped again, by the names of both versions; files of a tmpfs count as shmem.
_HELD: Final = frozenset(
    {b"rss", b"anon", b"shmem", b"swap", b"sock", b"kernel_stack", b"pagetables"}
    | {b"sec_pagetables", b"percpu", b"vmalloc", b"slab_unreclaimable"}
)


class Version(NamedTuple):
    """The file names of one version of the interface; the total goes to `limits`."""

    join: str
    events: str
    limits: tuple[str, ...]
    settings: tuple[tuple[str, str], ...] = ()


VERSIONS: Final = {
    1: Version(
        "tasks",  # quicker than cgroup.procs, for it moves one thread only
        "memory.oom_control",
        ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"),
    ),
    2: Version(
        "cgroup.procs",
        "memory.events",
        ("memory.max",),
        (("memory.swap.max", "0"), ("memory.oom.group", "1")),
    ),
}  # fmt: skip


class Cgroup(NamedTuple):
    """A session's cgroup as its keeper holds it: three open files and no way to any other.

    scratch: the session's own file systems in memory, whose files have limits of their own.
    """

    joining: int
    stat: int
    events: int
    scratch: tuple[str, ...] = ()
    strict: bool = False

    @property
    def descriptors(self) -> set[int]:
        return {self.joining, self.stat, self.events}

    def join(self) -> None:
        """Moves the calling process in."""
        os.write(self.joining, b"0")

    def killed(self) -> int:
        """How many processes the kernel has killed because memory ran out."""
        return oom_kills(_read(self.events))

    def over(self, processes: Sequence[int], limit: int) -> bool:
        """Whether what is held besides files is more than the limit."""
        held, shared = held_bytes(_read(self.stat))
        return held + shared > limit and held + max(0, shared - self._file_bytes()) > limit

    def _file_bytes(self) -> int:
        found = [os.statvfs(path) for path in self.scratch]
        return sum((status.f_blocks - status.f_bfree) * status.f_frsize for status in found)


class Cgroups:
    """The cgroups of one launcher's sessions, in a folder that is locked while it lives.

    ended: folders of sessions that have ended.
    """

    def __init__(self, version: int, folder: str) -> None:
        self._version, self.folder = VERSIONS[version], folder
        self._made = 0
        self.ended: list[str] = []
        if version == 2:
            kernel.write_file(f"{folder}/cgroup.subtree_control", "+memory")

    def make(self, limits: dict[str, Any], scratch: tuple[str, ...] = ()) -> tuple[str, Cgroup]:
        """A new cgroup with a session's limits, and its folder. Raises OSError."""
        self._made += 1
        folder = os.path.join(self.folder, str(self._made))
        os.mkdir(folder)
        total = [(name, str(total_bytes(limits))) for name in self._version.limits]
        for name, value in (*total, *self._version.settings):
            # This kernel's configuration may lack a file.
            with contextlib.suppress(FileNotFoundError, PermissionError):
                kernel.write_file(f"{folder}/{name}", value)
        joining = os.open(os.path.join(folder, self._version.join), os.O_WRONLY | os.O_CLOEXEC)
        stat, events = (
            os.open(os.path.join(folder, name), os.O_RDONLY | os.O_CLOEXEC)
            for name in ("memory.stat", self._version.events)
        )
        return folder, Cgroup(joining, stat, events, scratch)

    def sweep(self) -> None:
        """Removes the cgroups of ended sessions that are empty by now."""
        self.ended = [folder for folder in self.ended if not _removed(folder)]

    def close(self) -> None:
        """Removes all of them, waiting a little for processes that are about to end."""
        give_up = time.monotonic() + _REMOVE_S
        while not _removed_with_children(self.folder) and time.monotonic() < give_up:
            time.sleep(0.01)


def find_cgroups(who: Identity) -> Cgroups | None:
    """Where sessions' cgroups can be made, tried out with a process; None where nowhere."""
    with contextlib.suppress(OSError), open("/proc/self/mountinfo") as mounts:
        with open("/proc/self/cgroup") as own:
            places = candidates(mounts.read(), own.read())
        for version, parent in places:
            if found := _tried(version, parent, who):
                return found
    return None


def candidates(mountinfo: str, own: str) -> list[tuple[int, str]]:
    """Versions and folders to try, best first, from the text of the two files in /proc/self.

    Version 2 allows no processes in a cgroup that hands a controller down. A child of the own
    cgroup is therefore possible only at the root.
    """
    paths = {line.split(":", 2)[1]: line.split(":", 2)[2] for line in own.splitlines()}
    v1 = next((path for names, path in paths.items() if "memory" in names.split(",")), None)
    found: list[tuple[int, str]] = []
    for line in mountinfo.splitlines():
        fields, _, rest = line.partition(" - ")
        root, place = fields.split()[3:5]
        kind, _, options = rest.split(" ", 2)
        if kind == "cgroup" and v1 is not None and "memory" in options.split(","):
            found += [(1, path) for path in _below(place, root, v1)[:1]]
        if kind == "cgroup2" and "" in paths:
            found += [(2, path) for path in _below(place, root, paths[""])]
    return found


def _below(place: str, root: str, path: str) -> list[str]:
    """The folder of a cgroup seen through a mount of `root`, then those above it."""
    relative = os.path.relpath(path, root)
    if relative.startswith(".."):
        return []
    parts = [] if relative == "." else relative.split("/")
    return [os.path.join(place, *parts[:depth]) for depth in range(len(parts), -1, -1)]


def total_bytes(limits: dict[str, Any]) -> int:
    """The kernel's limit for a session: its memory and all it may keep in files."""
    memory, workspace, scratch = (int(limits[name]) for name in _SIZES)
    return memory + workspace + 2 * scratch


def held_bytes(stat: bytes) -> tuple[int, int]:
    """From the text of memory.stat: memory that cannot be dropped, without and as shared pages."""
    pairs = [line.split() for line in stat.splitlines()]
    held = {name: int(value) for name, value in pairs if name in _HELD}
    shared = held.pop(b"shmem", 0)
    return sum(held.values()), shared


def oom_kills(events: bytes) -> int:
    """From the text of memory.events or memory.oom_control: processes the kernel has killed."""
    pairs = [line.split() for line in events.splitlines()]
    return next((int(value) for name, value in pairs if name == b"oom_kill"), 0)


def _tried(version: int, parent: str, who: Identity) -> Cgroups | None:
    folder = os.path.join(parent, f"{PREFIX}{os.getpid()}")
    try:
        if version == 2:
            with open(f"{parent}/cgroup.subtree_control") as handed_down:
                if "memory" not in handed_down.read().split():
                    return None
        _remove_abandoned(parent)
        os.mkdir(folder)
    except OSError:
        return None
    with contextlib.suppress(OSError, ValueError):
        found = Cgroups(version, folder)
        fcntl.flock(os.open(folder, os.O_RDONLY | os.O_CLOEXEC), fcntl.LOCK_SH)
        trial, cgroup = found.make(dict.fromkeys(_SIZES, 64 << 20))
        joined = _joins(cgroup, who)
        for descriptor in cgroup.descriptors:
            os.close(descriptor)
        found.ended.append(trial)
        found.sweep()
        if joined:
            return found
    _removed_with_children(folder)
    return None


def _joins(cgroup: Cgroup, who: Identity) -> bool:
    """Whether a process of the sessions' user can move in, as each command has to."""
    child = os.fork()
    if child == 0:
        try:
            if who.root:
                become(who)
            cgroup.join()
            os._exit(0 if held_bytes(_read(cgroup.stat)) > (0, -1) else 1)
        finally:
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0


def _remove_abandoned(parent: str) -> None:
    """Removes what killed launchers left behind: folders that nobody has locked."""
    for name in os.listdir(parent):
        if name.startswith(PREFIX):
            with contextlib.suppress(OSError):
                folder = os.open(os.path.join(parent, name), os.O_RDONLY | os.O_CLOEXEC)
                try:
                    fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    _removed_with_children(os.path.join(parent, name))
                finally:
                    os.close(folder)


def _removed_with_children(folder: str) -> bool:
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as inner:
        left = [item.path for item in inner if item.is_dir() and not _removed(item.path)]
        return not left and _removed(folder)
    return True


def _removed(folder: str) -> bool:
    """Removes an empty cgroup; False while a process is in it."""
    try:
        os.rmdir(folder)
    except OSError as error:
        return error.errno == errno.ENOENT
    return True


def _read(descriptor: int) -> bytes:
    try:
        return os.pread(descriptor, 1 << 16, 0)
    except OSError:  # someone removed the cgroup: end, and the controller reads a dead sandbox
        os._exit(3)
