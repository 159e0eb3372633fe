"""A patch as text, in the form that ``git apply`` reads."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from srl_env.sandbox import Change, Snapshot
from srl_env.text.line_diff import hunks, line_changes, split_lines

MOST_CHARACTERS: Final = 20_000
_LARGEST: Final = 1 << 20  # bytes of a file


def unified_diff(tree: Path, changes: Snapshot, most: int = MOST_CHARACTERS) -> str:
    """What the changes do to the files of a tree, as a unified diff.

    Only regular files are in it, as in ``filter_changes``. A file whose diff would make it longer
    than ``most`` characters, and one above 1 MiB, is named in a line of its own instead. Takes
    bounded time.
    """
    found, room = [], most
    for change, content in zip(changes.changes, changes.contents, strict=True):
        text = _file_diff(tree, change, content)
        if len(text) > room:
            text = f"# {change.path}: a diff of {len(text):,} characters is left out\n"
        else:
            room -= len(text)
        found.append(text)
    return "".join(found)


def _file_diff(tree: Path, change: Change, content: bytes) -> str:
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
    if max(len(before or b""), len(after or b"")) > _LARGEST:
        return f"# {path}: the file is too large to be shown\n"
    try:
        texts = [(data or b"").decode("utf-8") for data in (before, after)]
    except UnicodeDecodeError:
        return f"{head}Binary files {old} and {new} differ\n"
    shown = "".join(hunks(line_changes(*map(split_lines, texts))))
    return head + (f"--- {old}\n+++ {new}\n{shown}" if shown else "")


def _content(tree: Path, path: str) -> bytes | None:
    """A file of the tree; None if there is none, or if its path leaves the tree."""
    file = (tree / path).resolve()
    if not file.is_relative_to(tree.resolve()) or not file.is_file():
        return None
    return file.read_bytes()
