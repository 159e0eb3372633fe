"""A workspace's changes as a patch: plain files only, and none that control the tests.

The workspace itself is not consulted: no git, no links followed. What is dropped is logged.
"""

from __future__ import annotations

import fnmatch
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Final

from srl_env.sandbox import Change, Snapshot

MAX_BYTES: Final = 16 << 20
MAX_FILES: Final = 2_000  # and as many folders above them
MAX_PATH: Final = 1_000
_TEST_FOLDERS: Final = {"test", "tests"}
_CACHES: Final = {"__pycache__", ".git", ".hg", ".svn", ".tox", ".venv", ".pytest_cache"}
_TEST_FILES: Final = ("test_*.py", "*_test.py", "test.py", "tests.py", "conftest.py")
_SETTINGS: Final = ("*.ini", "*.cfg", "*.toml", "setup.py", "noxfile.py")
_LOADED: Final = ("*.pth", "*.so", "*.pyd", "*.pyc", "*.pyo", "*.egg", "*.whl", "*.zip")
_SHADOWS: Final = frozenset(sys.stdlib_module_names) | {
    "pytest", "_pytest", "py", "pluggy", "iniconfig", "packaging", "pygments", "exceptiongroup",
    "sitecustomize", "usercustomize", "colorama", "tomli", "numpy",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Dropped:
    """A change that does not count, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Patch:
    """What is graded: the changes that count, as a snapshot, and the log of the others."""

    kept: Snapshot
    dropped: tuple[Dropped, ...]
    too_large: bool = False


def filter_changes(
    snapshot: Snapshot,
    *,
    allowed: tuple[str, ...] = (),
    python_path: tuple[str, ...] = (".",),
    own: Collection[str] = (),
    tests: Collection[str] = (),
) -> Patch:
    """The changes of a workspace that may be put on a fresh tree.

    Kept are added, changed and deleted regular files that are not tests, settings, caches, or
    modules that shadow those that tests rely on. allowed: patterns of paths kept nevertheless.
    own: modules that the repository provides, which may have the name of one that pytest needs.
    tests: paths of test files whose names do not say so.
    A patch of more than MAX_FILES files, or folders above them, or of more than MAX_BYTES keeps
    nothing and is marked too_large.
    """
    changes: list[Change] = []
    contents: list[bytes] = []
    dropped = [Dropped(path, "special file") for path in snapshot.left_out]
    for change, content in zip(snapshot.changes, snapshot.contents, strict=True):
        if change.kind == "directory":
            continue  # folders come with their files, and a deleted one's files are listed
        reason = "test" if change.path in tests else _why_not(change, allowed, python_path, own)
        if reason:
            dropped.append(Dropped(change.path, reason))
        else:
            changes.append(replace(change, mode=0o755 if change.mode & 0o100 else 0o644))
            contents.append(content)
    folders = {above for change in changes for above in PurePosixPath(change.path).parents}
    if max(len(changes), len(folders)) > MAX_FILES or sum(map(len, contents)) > MAX_BYTES:
        return Patch(Snapshot((), ()), tuple(dropped), too_large=True)
    return Patch(Snapshot(tuple(changes), tuple(contents)), tuple(dropped))


def _why_not(
    change: Change, allowed: tuple[str, ...], python_path: tuple[str, ...], own: Collection[str]
) -> str | None:
    path = PurePosixPath(change.path)
    if change.kind != "file":
        return change.kind
    if change.links > 1 and change.change != "deleted":
        return "hard link"
    if path.is_absolute() or ".." in path.parts or len(change.path) > MAX_PATH:
        return "path"
    if not change.path.isprintable():
        return "name"
    if _matches(change.path, allowed):
        return None
    return next(_reasons(path, python_path, own), None)


def _reasons(
    path: PurePosixPath, python_path: tuple[str, ...], own: Collection[str]
) -> Iterator[str]:
    parts = [part.casefold() for part in path.parts]
    if _CACHES & set(parts):
        yield "cache or version control"
    if any(part.endswith((".egg-info", ".dist-info")) for part in parts):
        yield "package metadata"
    if _matches(parts[-1], _LOADED):
        yield "loaded by the interpreter"
    if _TEST_FOLDERS & set(parts[:-1]) or _matches(parts[-1], _TEST_FILES):
        yield "test"
    if _matches(parts[-1], _SETTINGS):
        yield "settings"
    for root in map(PurePosixPath, python_path):
        if root.is_relative_to(path):
            yield "replaces a folder that packages are imported from"
        elif path.is_relative_to(root):
            top = path.relative_to(root).parts[0].partition(".")[0]
            if top in _SHADOWS and top not in own:
                yield f"replaces the module {top}"
    if parts[-1] == "__init__.py" and str(path.parent) in (".", *python_path):
        yield "makes a package of a folder that packages are imported from"


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
