"""A copy of a user's repository and how its tests are run; ``project.py`` finds that out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from srl_env.sandbox import Change, Limits, Mount, Snapshot

# Reports of a whole suite are longer than what a policy's command may print.
BUILD_LIMITS = Limits(output_keep_bytes=48 << 20, output_kill_bytes=64 << 20)


@dataclass(frozen=True)
class Checkout:
    """A tree with tests in it.

    tree: the folder; python_path: folders in it that its packages are imported from.
    test_files: files with tests. conftest: whether there are conftest files, which are loaded.
    distributions: installed packages that it imports; mounts: where these lie.
    timeout_s: after which a run of the tests is given up.
    """

    tree: Path
    python_path: tuple[str, ...]
    test_files: tuple[str, ...]
    conftest: bool = False
    distributions: tuple[str, ...] = ()
    mounts: tuple[Mount, ...] = field(default=())
    timeout_s: float = 120.0


def files_written(files: Mapping[str, str]) -> Snapshot:
    """The workspace in which these files, path → text, were written."""
    contents = [text.encode() for text in files.values()]
    changes = (
        Change("modified", path, "file", 0o644, len(content), 1)
        for path, content in zip(files, contents, strict=True)
    )
    return Snapshot(tuple(changes), tuple(contents))
