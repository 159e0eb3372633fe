"""Files of a workspace, handled as hostile: no link is followed, nothing blocks, all is bounded.

Every path is walked component by component with O_NOFOLLOW, so a symlink planted in the
workspace leads nowhere. Only regular files are opened. No command runs meanwhile: the keeper
empties the session after each one.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import Any, Final, NamedTuple

from .wire import write_all

Entry = dict[str, Any]
MAX_DEPTH: Final = 100
MAX_PATH: Final = 4096
MAX_NAMES: Final = 32 << 20  # of all paths and link targets as JSON; a frame's header holds 64 MB
_CHUNK: Final = 1 << 18
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PASSING: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PLAIN: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Workspace(NamedTuple):
    """A workspace and the tree it began as, by their directory descriptors.

    touched: the overlay's upper layer, whose entries are all that can differ; None where the
    workspace is a copy and every entry has to be compared.
    """

    merged: int
    pristine: int
    touched: int | None = None

    @classmethod
    def at(cls, *paths: str) -> Workspace:
        """The workspace of these folders, in the order of the fields."""
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        return cls(*(os.open(path, flags) for path in paths))

    def read(self, path: str, max_bytes: int) -> bytes:
        """The content of a regular file.

        Raises OSError: what open(2) says, ELOOP for a symlink on the way, EFBIG above max_bytes.
        """
        with _parent(self.merged, path) as (folder, name):
            return _read_file(folder, name, max_bytes)

    def write(self, path: str, data: bytes, mode: int | None) -> None:
        """Replaces or makes a regular file and the folders above it; mode None keeps or 644."""
        with _parent(self.merged, path, make=True) as (folder, name):
            flags = os.O_WRONLY | os.O_CREAT | _PLAIN
            descriptor = os.open(name, flags, 0o644, dir_fd=folder)
            try:
                _require_regular(descriptor, path)
                os.ftruncate(descriptor, 0)
                write_all(descriptor, data)
                if mode is not None:
                    os.fchmod(descriptor, mode & 0o777)
            finally:
                os.close(descriptor)

    def changes(
        self, *, contents: bool, max_bytes: int, max_entries: int, without: Collection[str] = ()
    ) -> Changes:
        """What differs from the tree, parents before children, with the contents where wanted.

        without: paths that are not looked at. Raises OSError EFBIG above max_bytes of contents,
        max_entries, or MAX_NAMES.
        """
        found = Changes(
            contents=contents, bytes_left=max_bytes, entries_left=max_entries, without=without
        )
        folders = [folder for folder in self if folder is not None]
        with _opened_up(os.fstat(self.merged), 0o700, partial(os.fchmod, self.merged)):
            found.compare("", [os.dup(folder) for folder in folders], 0)
        return found

    def apply(self, entries: list[Entry], payload: bytes) -> None:
        """Makes the changes of `changes` to this workspace.

        Raises OSError (EINVAL) for a kind that cannot be restored, and before anything is changed
        for a payload of another size.
        """
        sizes = [entry["size"] if entry["kind"] == "file" else 0 for entry in entries]
        if min(sizes, default=0) < 0 or sum(sizes) != len(payload):
            message = f"{len(payload)} bytes of contents for entries of {sum(sizes)} bytes"
            raise OSError(errno.EINVAL, message)
        view, at = memoryview(payload), 0
        modes: list[tuple[str, int]] = []
        for entry, size in zip(entries, sizes, strict=True):
            self._apply(entry, bytes(view[at : at + size]))
            at += size
            if entry["kind"] == "directory" and entry["change"] != "deleted":
                modes.append((entry["path"], entry["mode"]))
        for path, mode in reversed(modes):  # at last, for a folder may be closed to its owner
            with _parent(self.merged, path) as (folder, name):
                os.chmod(name, mode, dir_fd=folder)

    def _apply(self, entry: Entry, data: bytes) -> None:
        path, kind = entry["path"], entry["kind"]
        if entry["change"] == "deleted" or kind in ("file", "symlink"):
            with contextlib.suppress(FileNotFoundError), _parent(self.merged, path) as place:
                _remove(*place)
        if entry["change"] == "deleted":
            return
        if kind == "file":
            self.write(path, data, entry["mode"])
            return
        with _parent(self.merged, path, make=True) as (folder, name):
            if kind == "symlink":
                os.symlink(entry["target"], name, dir_fd=folder)
            elif kind == "directory":
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, 0o700, dir_fd=folder)
            else:
                raise OSError(errno.EINVAL, f"a {kind} cannot be restored", path)


class Changes:
    """What `Workspace.changes` gathers; payload holds the contents of all files in order."""

    def __init__(
        self,
        *,
        contents: bool,
        bytes_left: int,
        entries_left: int,
        names_left: int = MAX_NAMES,
        without: Collection[str] = (),
    ) -> None:
        self._contents, self._bytes_left = contents, bytes_left
        self._entries_left, self._names_left = entries_left, names_left
        self._without = frozenset(without)
        self.entries: list[Entry] = []
        self.payload: list[bytes] = []

    def compare(self, path: str, folders: list[int], depth: int) -> None:
        """Adds what differs below one folder; closes the descriptors it is given.

        folders: merged, pristine and, for an overlay, touched; pristine is -1 below a new folder,
        merged below a deleted one.
        """
        merged, pristine = folders[:2]
        try:
            here, before = _names(merged), _names(pristine)
            names = (_names(folders[2]) if folders[2:] else here) | (before - here)
            for name in sorted(names):
                inner = f"{path}/{name}" if path else name
                if inner in self._without:
                    continue
                now, was = _status(merged, name), _status(pristine, name)
                if was and (now is None or _kind(now) != _kind(was)):
                    self.add("deleted", inner, pristine, name, was)
                    if stat.S_ISDIR(was.st_mode):
                        self.compare(inner, [-1, _open_folder(pristine, name)], depth)
                    was = None
                if now:
                    self._compare_entry(inner, folders, name, now, was, depth)
        finally:
            for folder in folders:
                if folder >= 0:
                    os.close(folder)

    def _compare_entry(
        self,
        path: str,
        folders: list[int],
        name: str,
        now: os.stat_result,
        was: os.stat_result | None,
        depth: int,
    ) -> None:
        merged, pristine = folders[:2]
        if depth >= MAX_DEPTH or len(path) > MAX_PATH:
            self.add("added", path[:MAX_PATH], merged, name, now, kind="special")
            return
        if was is None:
            self.add("added", path, merged, name, now)
        elif _differs(merged, pristine, name, now, was):
            self.add("modified", path, merged, name, now)
        if stat.S_ISDIR(now.st_mode):
            with _opened_up(now, 0o700, partial(os.chmod, name, dir_fd=merged)):
                inner = [_open_folder(merged, name), _open_folder(pristine, name) if was else -1]
                inner += [_open_folder(touched, name) for touched in folders[2:]]
                self.compare(path, inner, depth + 1)

    def add(
        self,
        change: str,
        path: str,
        folder: int,
        name: str,
        status: os.stat_result,
        kind: str | None = None,
    ) -> None:
        if self._entries_left <= 0:
            raise OSError(errno.EFBIG, "too many changes")
        self._entries_left -= 1
        entry: Entry = {
            "change": change,
            "path": path,
            "kind": kind or _kind(status),
            "mode": stat.S_IMODE(status.st_mode),
            "size": 0,
            "links": status.st_nlink,
        }
        if change != "deleted" and entry["kind"] == "symlink":
            entry["target"] = os.readlink(name, dir_fd=folder)
        self._names_left -= len(json.dumps([path, entry.get("target")]))
        if self._names_left < 0:
            raise OSError(errno.EFBIG, "the names of what changed are too long")
        if change != "deleted" and stat.S_ISREG(status.st_mode):
            entry["size"] = status.st_size
            if self._contents and entry["kind"] == "file":
                data = _read_file(folder, name, self._bytes_left)
                self._bytes_left -= len(data)
                entry["size"] = len(data)
                self.payload.append(data)
        self.entries.append(entry)


def copy_tree(source: str, target: str, owner: tuple[int, int] | None = None) -> None:
    """Copies folders, files, modes and symlinks (as they are); without pipes and devices.

    owner: uid and gid the copies are given. Raises OSError, EACCES included.
    """
    pending = [(source, target)]
    while pending:
        here, there = pending.pop()
        with os.scandir(here) as listing:
            for item in listing:
                goal = os.path.join(there, item.name)
                if item.is_symlink():
                    os.symlink(os.readlink(item.path), goal)
                elif item.is_dir():
                    os.mkdir(goal, 0o700)
                    pending.append((item.path, goal))
                elif item.is_file():
                    _copy_file(item.path, goal)
                else:
                    continue
                if owner:
                    os.chown(goal, *owner, follow_symlinks=False)
                if not item.is_symlink():
                    added = 0o700 if item.is_dir() else 0
                    os.chmod(goal, stat.S_IMODE(item.stat().st_mode) | added)


def remove_tree(path: str) -> None:
    """Deletes a folder however deep, whatever its modes; what cannot be deleted stays."""
    parent, name = os.path.split(os.path.abspath(path))
    folder = os.open(parent, _DIRECTORY)
    try:
        with contextlib.suppress(OSError):
            _remove(folder, name)
    finally:
        os.close(folder)


def _differs(
    merged: int, pristine: int, name: str, now: os.stat_result, was: os.stat_result
) -> bool:
    if stat.S_ISLNK(now.st_mode):
        return os.readlink(name, dir_fd=merged) != os.readlink(name, dir_fd=pristine)
    if stat.S_IMODE(now.st_mode) != stat.S_IMODE(was.st_mode):
        return True
    if not stat.S_ISREG(now.st_mode):
        return False
    return now.st_size != was.st_size or not _same_content(merged, pristine, name, now)


def _same_content(merged: int, pristine: int, name: str, now: os.stat_result) -> bool:
    with _opened_up(now, 0o400, partial(os.chmod, name, dir_fd=merged)):
        one = os.open(name, os.O_RDONLY | _PLAIN, dir_fd=merged)
    with open(one, "rb", buffering=0) as new:
        two = os.open(name, os.O_RDONLY | _PLAIN, dir_fd=pristine)
        with open(two, "rb", buffering=0) as old:
            while (chunk := new.read(_CHUNK)) == old.read(_CHUNK):
                if not chunk:
                    return True
            return False


def _kind(status: os.stat_result) -> str:
    if stat.S_ISREG(status.st_mode):
        return "file"
    if stat.S_ISDIR(status.st_mode):
        return "directory"
    return "symlink" if stat.S_ISLNK(status.st_mode) else "special"


def _names(folder: int) -> set[str]:
    return set(os.listdir(folder)) if folder >= 0 else set()


def _status(folder: int, name: str) -> os.stat_result | None:
    if folder < 0:
        return None
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _open_folder(folder: int, name: str) -> int:
    return os.open(name, _DIRECTORY, dir_fd=folder)


@contextlib.contextmanager
def _opened_up(status: os.stat_result, bits: int, change: Callable[[int], None]) -> Iterator[None]:
    """Gives the owner the mode bits for a while where they are missing; change: sets the mode."""
    mode = stat.S_IMODE(status.st_mode)
    missing = mode & bits != bits
    if missing:
        change(mode | bits)
    try:
        yield
    finally:
        if missing:
            change(mode)


@contextlib.contextmanager
def _parent(root: int, path: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
    """The folder a path's last component lies in, reached without following a link."""
    parts = path.split("/")
    if any(part in ("", ".", "..") or "\0" in part for part in parts):
        message = "a path relative to the workspace, without . and .., is expected"
        raise OSError(errno.EINVAL, message, path[:MAX_PATH])
    folder = os.dup(root)
    try:
        for part in parts[:-1]:
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, 0o755, dir_fd=folder)
            inner = _pass_through(folder, part, path)
            os.close(folder)
            folder = inner
        yield folder, parts[-1]
    finally:
        os.close(folder)


def _pass_through(folder: int, part: str, path: str) -> int:
    try:
        return os.open(part, _PASSING, dir_fd=folder)
    except NotADirectoryError:
        status = _status(folder, part)
        if status and stat.S_ISLNK(status.st_mode):
            raise OSError(errno.ELOOP, f"{part!r} is a symlink; it is not followed", path) from None
        raise


def _read_file(folder: int, name: str, max_bytes: int) -> bytes:
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if stat.S_ISLNK(status.st_mode):
        raise OSError(errno.ELOOP, "a symlink; it is not followed", name)
    if not stat.S_ISREG(status.st_mode):
        number = errno.EISDIR if stat.S_ISDIR(status.st_mode) else errno.EINVAL
        raise OSError(number, "not a regular file", name)
    if status.st_size > max_bytes:
        raise OSError(errno.EFBIG, f"{status.st_size} bytes, more than {max_bytes}", name)
    with _opened_up(status, 0o400, partial(os.chmod, name, dir_fd=folder)):
        descriptor = os.open(name, os.O_RDONLY | _PLAIN, dir_fd=folder)
    with open(descriptor, "rb", buffering=0) as file:
        _require_regular(descriptor, name)
        return file.read(max_bytes + 1) if status.st_size else b""


def _require_regular(descriptor: int, path: str) -> None:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise OSError(errno.EINVAL, "not a regular file", path)


def _remove(folder: int, name: str) -> None:
    """Deletes what lies at a name, however deep: what lies too deep is drawn up first."""
    pending = [name]
    while pending:
        _remove_within(folder, folder, pending.pop(), 0, pending)


def _remove_within(top: int, folder: int, name: str, depth: int, pending: list[str]) -> None:
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if not stat.S_ISDIR(status.st_mode):
        os.unlink(name, dir_fd=folder)
        return
    os.chmod(name, 0o700, dir_fd=folder)
    if depth > MAX_DEPTH // 2:
        raised = f".removed-{status.st_ino}"
        os.rename(name, raised, src_dir_fd=folder, dst_dir_fd=top)
        pending.append(raised)
        return
    inner = _open_folder(folder, name)
    try:
        for below in os.listdir(inner):
            _remove_within(top, inner, below, depth + 1, pending)
    finally:
        os.close(inner)
    os.rmdir(name, dir_fd=folder)


def _copy_file(source: str, target: str) -> None:
    with open(source, "rb") as reading, open(target, "xb") as writing:
        while chunk := reading.read(_CHUNK):
            writing.write(chunk)
