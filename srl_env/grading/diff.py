"""A patch as text, in the form that ``git apply`` reads."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from srl_env.sandbox import Change, Snapshot
from srl_env.text.line_diff import hunks, line_changes, split_lines

MOST_CHARACTERS: Final = 20_000
MOST_NAMED: Final = 20
_LARGEST: Final = 1 << 20  # bytes of a file


def unified_diff(tree: Path, changes: Snapshot) -> str:
    """What the changes do to the files of a tree, as a unified diff, in bounded time.

    A file whose diff would make it longer than MOST_CHARACTERS, and one above 1 MiB, is named in a
    line of its own instead; the last line counts those after the first MOST_NAMED.
    """
    found, room, named = list[str](), MOST_CHARACTERS, 0
    for change, content in zip(changes.changes, changes.contents, strict=True):
        text, reason = "", "the file is too large to be shown"
        if max(len(content), _size(tree, change.path)) <= _LARGEST:
            text = "" if _exceeds(tree, change, content, room) else file_diff(tree, change, content)
            reason = "its diff is left out, as it is too long"
        if 0 < len(text) <= room:
            room -= len(text)
            found.append(text)
            continue
        named += 1
        if named <= MOST_NAMED:
            found.append(f"# {change.path}: {reason}\n")
    more = named - MOST_NAMED
    return "".join(found) + (f"# {more:,} more files are left out\n" if more > 0 else "")


def whole_diff(tree: Path, changes: Snapshot) -> str:
    """The same without limits."""
    pairs = zip(changes.changes, changes.contents, strict=True)
    return "".join(file_diff(tree, change, content) for change, content in pairs)


def file_diff(tree: Path, change: Change, content: bytes) -> str:
    """What a change does to a regular file of a tree; content: what it is after it."""
    path = change.path
    before = _content(tree, path)
    after = None if change.change == "deleted" else content
    old, new = f"a/{path}", f"b/{path}"
    lines = [f"diff --git {old} {new}"]
    if before is None:
        lines.append(f"new file mode 100{change.mode:o}")
        if not after:
            lines.append("index 0000000..e69de29")  # git's names of no file and of an empty one
        old = "/dev/null"
    if after is None:
        lines.append("deleted file mode 100644")
        new = "/dev/null"
    head = "\n".join(lines) + "\n"
    try:
        texts = [(data or b"").decode("utf-8") for data in (before, after)]
    except UnicodeDecodeError:
        return f"{head}Binary files {old} and {new} differ\n"
    shown = "".join(hunks(line_changes(*map(split_lines, texts))))
    return head + (f"--- {old}\n+++ {new}\n{shown}" if shown else "")


def _exceeds(tree: Path, change: Change, content: bytes, room: int) -> bool:
    """Whether a new file alone is longer than that, so that no diff has to be made."""
    new = change.change != "deleted" and _file(tree, change.path) is None
    return new and len(content.decode("utf-8", "replace")) > room


def _size(tree: Path, path: str) -> int:
    file = _file(tree, path)
    return file.stat().st_size if file else 0


def _content(tree: Path, path: str) -> bytes | None:
    file = _file(tree, path)
    return file.read_bytes() if file else None


def _file(tree: Path, path: str) -> Path | None:
    """A file of the tree; None if there is none, or if its path leaves the tree."""
    file = (tree / path).resolve()
    return file if file.is_relative_to(tree.resolve()) and file.is_file() else None
