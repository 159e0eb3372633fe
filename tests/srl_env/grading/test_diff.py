"""A patch as text: git applies it and gives the same files."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest

from srl_env.grading.diff import MOST_CHARACTERS, MOST_NAMED, unified_diff, whole_diff
from srl_env.sandbox import Change, Snapshot

Files = dict[str, bytes]
BEFORE: Files = {
    "pkg/a.py": b"def f(x):\n    return x\n",
    "pkg/gone.py": b"old = 1\n",
    "b.txt": b"no newline",
}


def changes(after: dict[str, bytes | None]) -> Snapshot:
    made = [
        Change(
            change="deleted" if content is None else "modified" if path in BEFORE else "added",
            path=path,
            kind="file",
            mode=0o644,
            size=len(content or b""),
            links=1,
        )
        for path, content in after.items()
    ]
    return Snapshot(tuple(made), tuple(content or b"" for content in after.values()))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for path, content in BEFORE.items():
        (tmp_path / "tree" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / path).write_bytes(content)
    return tmp_path / "tree"


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_git_applies_the_diff_and_gives_the_same_files(tree: Path) -> None:
    after: dict[str, bytes | None] = {
        "pkg/a.py": b"def f(x):\n    return x + 1  # \xc3\xa9\n",
        "pkg/gone.py": None,
        "b.txt": b"a newline\n",
        "pkg/new file.py": b"x = 1\r\ny = 2",
        "pkg/empty.py": b"",
    }
    text = unified_diff(tree, changes(after))
    subprocess.run(["git", "init", "-q"], cwd=tree, check=True)
    subprocess.run(
        ["git", "apply", "--whitespace=nowarn"], cwd=tree, input=text.encode(), check=True
    )
    found = {
        str(file.relative_to(tree)): file.read_bytes()
        for file in tree.rglob("*")
        if file.is_file() and ".git" not in file.parts
    }
    assert found == {path: content for path, content in after.items() if content is not None}


def test_a_small_change_is_shown_as_git_shows_it(tree: Path) -> None:
    assert unified_diff(tree, changes({"pkg/a.py": b"def f(x):\n    return -x\n"})) == (
        "diff --git a/pkg/a.py b/pkg/a.py\n"
        "--- a/pkg/a.py\n+++ b/pkg/a.py\n"
        "@@ -1,2 +1,2 @@\n def f(x):\n-    return x\n+    return -x\n"
    )


def test_what_is_too_long_or_no_text_is_named(tree: Path) -> None:
    text = unified_diff(
        tree, changes({"pkg/a.py": b"x\n" * 99, "c.bin": b"\xff\x00", "d": b"y" * (1 << 20) + b"y"})
    )
    assert "Binary files /dev/null and b/c.bin differ" in text
    assert "# d: the file is too large to be shown" in text
    long = b"x\n" * MOST_CHARACTERS
    short = unified_diff(tree, changes({"pkg/a.py": long, "b.txt": b"z"}))
    assert short.startswith("# pkg/a.py: its diff is left out")
    assert "+z" in short
    assert whole_diff(tree, changes({"pkg/a.py": long})).count("+x\n") == MOST_CHARACTERS


def test_thousands_of_new_files_are_counted_and_not_compared(tree: Path) -> None:
    many: dict[str, bytes | None] = {f"n{number}.py": b"\n" * 8_000 for number in range(2_000)}
    begun = time.process_time()
    text = unified_diff(tree, changes(many))
    assert time.process_time() - begun < 2  # comparing them takes over 5 s
    assert text.count("its diff is left out") == MOST_NAMED
    assert text.endswith("# 1,979 more files are left out\n")  # all but one shown and 20 named
    assert len(text) < 2 * MOST_CHARACTERS


def test_a_path_that_leaves_the_tree_through_a_link_is_not_read(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret\n")
    (tree / "link").symlink_to(tmp_path)
    text = unified_diff(tree, changes({"link/secret.txt": b"mine\n"}))
    assert "secret\n" not in text.replace("secret.txt", "")
    assert "+mine" in text
