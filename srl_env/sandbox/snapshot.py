"""A workspace as plain data: what differs from its tree."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

from srl_env.errors import BadOption
from srl_env.text.unicode import escaped

Kind = Literal["file", "directory", "symlink", "special"]
SNAPSHOT_BYTES: Final = 256 << 20
"""Contents of all files in a snapshot, unless a caller says otherwise; `Limits.workspace_bytes`."""
_CHANGES: Final = ("added", "modified", "deleted")


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between the workspace and the tree.

    path: relative, as Python file names are (surrogate escapes for bytes that are not UTF-8).
    kind: what is there now, or what was there before it was deleted. "special" is a pipe, a
    socket, a device, or anything more than 100 folders deep; its content is not read.
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
            for name, value, holds, expected in _conditions(change, content):
                if not holds:
                    entry = f"changes[{number}], {escaped(repr(change.path))}"
                    raise BadOption(
                        f"Snapshot: {entry}: {name} must be {expected}; got {value!r:.200}"
                    )


def _conditions(change: Change, content: object) -> Iterator[tuple[str, Any, bool, str]]:
    """What must hold for a change to be made: field, value, whether it does, what is expected."""
    there = change.change != "deleted"
    size = len(content) if isinstance(content, bytes) else -1
    kinds = ("file", "directory", "symlink") if there else get_args(Kind)
    inside = _encodable(change.path) and not {"", ".", ".."} & set(str(change.path).split("/"))
    target = change.kind != "symlink" or not there or (change.target and _encodable(change.target))
    yield "path", change.path, inside, "a path within the workspace"
    yield "change", change.change, change.change in _CHANGES, "one of " + ", ".join(_CHANGES)
    yield "kind", change.kind, change.kind in kinds, "one of " + ", ".join(kinds)
    yield "mode", change.mode, _whole(change.mode, 0o7777), "a number from 0 to 0o7777"
    yield "links", change.links, _whole(change.links, 1 << 32), "a whole number"
    yield "content", type(content).__name__, size >= 0, "bytes"
    yield "size", change.size, _whole(change.size, size, size), f"{size}, that of its content"
    empty = size == 0 or (there and change.kind == "file")
    yield "content", content, empty, "empty, because the change leaves no file there"
    yield "target", change.target, bool(target), "the link's target"


def _encodable(text: object) -> bool:
    try:
        return isinstance(text, str) and b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def _whole(value: object, most: int, least: int = 0) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
