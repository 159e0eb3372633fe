"""What a sandbox is: sessions on a read-only tree, with limits, whose workspace can be had back.

The types and protocols that the backends fill and that tasks use. What each backend stops, and
what it does not, is said in ``srl_env.sandbox``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, Protocol, Self, get_args, runtime_checkable

from srl_env.errors import BadOption
from srl_env.seconds import check_seconds
from srl_env.text.unicode import escaped

Isolation = Literal["full", "weak", "none"]
Ended = Literal["exited", "timeout", "memory", "processes", "sockets", "output"]
Kind = Literal["file", "directory", "symlink", "special"]
_CHANGES: Final = ("added", "modified", "deleted")

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a session's commands may use, all together unless said otherwise.

    timeout_s: wall time of a command that names none.
    memory_bytes: memory of all processes (shared pages counted once), looked at every 30 ms; with
    a memory cgroup, the kernel bounds its sum with the sizes of all writable folders.
    address_space_bytes: per process, shared libraries and reservations included.
    processes: processes and threads. open_files: per process. sockets: unix sockets.
    file_bytes: size of any one file. files: inodes, for each of workspace, /tmp and /dev/shm.
    workspace_bytes: all that is changed in the workspace. scratch_bytes: /tmp, and /dev/shm.
    These three lie in memory, on top of memory_bytes, until the session ends.
    output_keep_bytes: output handed back (its first and last half); output_kill_bytes: output
    after which the command is killed.
    """

    timeout_s: float = 30.0
    memory_bytes: int = 1 << 30
    address_space_bytes: int = 2 << 30
    processes: int = 128
    open_files: int = 256
    sockets: int = 512
    file_bytes: int = 64 << 20
    files: int = 50_000
    workspace_bytes: int = 256 << 20
    scratch_bytes: int = 64 << 20
    output_keep_bytes: int = 1 << 20
    output_kill_bytes: int = 64 << 20

    def __post_init__(self) -> None:
        check_seconds("Limits: timeout_s", self.timeout_s)
        for name in self.__slots__:
            value = getattr(self, name)
            if not value > 0:
                raise BadOption(f"Limits: {name}={value!r}; a positive number is expected")


@dataclass(frozen=True, slots=True)
class Mount:
    """A file or folder of the host that a session may read, at `target` (default: its own path)."""

    source: Path
    target: str | None = None


@dataclass(frozen=True, slots=True)
class Preload:
    """Python modules that sessions have in memory from their start, for `KeeperSession.call`.

    folders: where they are imported from; modules: their names. They are loaded once, in the
    launcher, before any session: nothing secret may be in them.
    """

    folders: tuple[Path, ...]
    modules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a command ended, and what it wrote.

    ended: "exited", or the limit that ended it. status: exit code, negative for a signal.
    output: standard output and error as they came, the middle left out above
    `Limits.output_keep_bytes`; output_bytes: how much there was.
    report: what was written to descriptor 3, where asked for; report_bytes likewise.
    """

    ended: Ended
    status: int
    output: bytes
    output_bytes: int
    report: bytes
    report_bytes: int
    wall_s: float

    @property
    def ok(self) -> bool:
        """Whether the command exited by itself with status 0."""
        return self.ended == "exited" and self.status == 0

    def text(self) -> str:
        """The output for people and models: valid Unicode, no terminal controls, gap marked."""
        left_out = self.output_bytes - len(self.output)
        if left_out <= 0:
            return printable(self.output)
        half = len(self.output) // 2
        gap = f"\n[... {left_out} bytes left out ...]\n"
        return printable(self.output[:half]) + gap + printable(self.output[half:])


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between the workspace and the tree.

    path: relative, as Python file names are (surrogate escapes for bytes that are no UTF-8).
    kind: what is there now, or what was there before it was deleted. "special" is a pipe, a
    socket, a device, or what lies more than 100 folders deep, whose content is not looked at.
    links: names the file has; above 1 it is a hard link.
    """

    change: Literal["added", "modified", "deleted"]
    path: str
    kind: Kind
    mode: int
    size: int
    links: int
    target: str | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A workspace as the changes that lead to it from its tree; plain data, can be pickled.

    contents: one item for each entry of `changes`; b"" for all but files.
    left_out: the special files, which a snapshot cannot hold.
    """

    changes: tuple[Change, ...]
    contents: tuple[bytes, ...] = field(repr=False)
    left_out: tuple[str, ...] = ()

    def check(self) -> None:
        """Raises BadOption, naming the entry, unless all of it can be made in a workspace."""
        if len(self.contents) != len(self.changes):
            raise BadOption(
                "Snapshot: contents must have one item for each of the "
                f"{len(self.changes)} changes; got {len(self.contents)}"
            )
        for number, (change, content) in enumerate(zip(self.changes, self.contents, strict=True)):
            if said := _wrong(change, content):
                raise BadOption(
                    f"Snapshot: changes[{number}], {escaped(repr(change.path))}: {said}"
                )


def _wrong(change: Change, content: object) -> str:
    """What keeps a change from being made, as "X must be Y; got Z"; empty where nothing does."""
    held = change.kind == "file" and change.change != "deleted"
    size = len(content) if isinstance(content, bytes) else -1
    kinds = get_args(Kind) if change.change == "deleted" else ("file", "directory", "symlink")
    linked = change.kind == "symlink" and change.change != "deleted"
    for name, value, holds, expected in (
        ("path", change.path, _plainly_inside(change.path), "a path within the workspace"),
        ("change", change.change, change.change in _CHANGES, "one of " + ", ".join(_CHANGES)),
        ("kind", change.kind, change.kind in kinds, "one of " + ", ".join(kinds)),
        ("mode", change.mode, _whole(change.mode, 0o7777), "a number from 0 to 0o7777"),
        ("links", change.links, _whole(change.links, 1 << 32), "a whole number"),
        ("content", type(content).__name__, size >= 0, "bytes"),
        ("size", change.size, _whole(change.size, size, size), f"{size}, that of its content"),
        ("content", content, held or not size, "empty, for it is no file that is there"),
        ("target", change.target, not linked or _linkable(change.target), "the link's target"),
    ):
        if not holds:
            return f"{name} must be {expected}; got {value!r:.200}"
    return ""


def _plainly_inside(path: object) -> bool:
    return _encodable(path) and not {"", ".", ".."} & set(str(path).split("/"))


def _linkable(target: object) -> bool:
    return _encodable(target) and target != ""


def _encodable(text: object) -> bool:
    try:
        return isinstance(text, str) and b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def _whole(value: object, most: int, least: int = 0) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


@runtime_checkable
class Session(Protocol):
    """A workspace over a tree, and commands in it. For one thread at a time.

    Every method raises SandboxDied where the session is dead, which must not become an observation
    or a reward. ``srl_env.verifiers.responsibility`` decides who is responsible.
    """

    @property
    def workspace(self) -> str:
        """The workspace's path as commands see it."""
        ...

    def run(
        self,
        command: str | Sequence[str],
        *,
        timeout_s: float | None = None,
        folder: str = "",
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        report: bool = False,
    ) -> CommandResult:
        """Runs a command and ends everything it started.

        command: arguments, or text for ``bash -c`` (``sh`` where there is no bash).
        folder: where, relative to the workspace. report: collect what goes to descriptor 3.
        """
        ...

    def read(self, path: str, max_bytes: int = 16 << 20) -> bytes:
        """A regular file of the workspace.

        Raises OSError as open() does; ELOOP for symlinks, EFBIG above max_bytes.
        """
        ...

    def write(self, path: str, data: bytes, mode: int | None = None) -> None:
        """Writes a file of the workspace, making the folders above it. Raises OSError."""
        ...

    def changes(self, max_entries: int = 100_000) -> list[Change]:
        """What differs from the tree, parents first. Raises OSError EFBIG above max_entries."""
        ...

    def snapshot(self, max_bytes: int = 256 << 20, max_entries: int = 100_000) -> Snapshot:
        """The workspace as it is. Raises OSError EFBIG above the bounds."""
        ...

    def apply(self, snapshot: Snapshot) -> None:
        """Makes a snapshot's changes on top of the workspace as it is.

        Raises BadOption, with nothing changed, where the snapshot is not in order; OSError.
        """
        ...

    def restore(self, snapshot: Snapshot) -> None:
        """Makes the workspace what it was; /tmp and /dev/shm are empty afterwards.

        Raises as `apply` does.
        """
        ...

    def close(self) -> None:
        """Ends the session; no process of it is left when this returns."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


@runtime_checkable
class Sandbox(Protocol):
    """A way to run code that is not trusted."""

    @property
    def name(self) -> str:
        """The backend: "namespaces", "landlock", "docker", "local"."""
        ...

    @property
    def isolation(self) -> Isolation:
        """How much it holds back; see ``srl_env.sandbox``."""
        ...

    def start(
        self,
        tree: Path | None,
        *,
        limits: Limits = ...,
        mounts: Sequence[Mount] = (),
        env: Mapping[str, str] | None = None,
    ) -> Session:
        """A session whose workspace begins as the tree, which itself never changes.

        The tree should have one owner: files of others than the folder's own can be read as
        far as their modes allow, but not changed or deleted.

        Raises BadOption for a tree or mount that is not there, SandboxFailure where the session
        could not be set up.
        """
        ...

    def close(self) -> None:
        """Ends its sessions, and what the backend itself keeps running."""
        ...


def printable(data: bytes) -> str:
    """Bytes as text for a model or a terminal: ``escaped``, without terminal sequences."""
    text = data.decode("utf-8", "replace").replace("\r\n", "\n")
    return escaped(_ANSI.sub("", text))
