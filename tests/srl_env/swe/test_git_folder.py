"""The git folder of a workspace, read by git itself."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from srl_env.swe.git_folder import COMMITTED_S, add_git_folder

FILES = {
    "pkg/a.py": b"one\n",
    "pkg/sub/b.py": b"two\n",
    "pkg.x/c.py": b"sorts before pkg/\n",
    "windows.txt": b"a\r\nb\r\n",
    ".gitattributes": b"* text eol=lf ident\n",
    ".gitignore": b"*.log\n",
    "kept.log": b"ignored, and in the commit\n",
    "empty": b"",
    "large.bin": bytes(range(256)) * 40,
    "n\xe4me": b"\xff",
}
needs_git = pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")


def made(folder: Path) -> Path:
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / "pkg/a.py").chmod(0o755)
    add_git_folder(folder)
    return folder


def git(folder: Path, *arguments: str) -> str:
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"}
    command = ["git", "-c", "core.quotePath=false", *arguments]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_git
def test_git_finds_one_sound_commit_and_nothing_changed(tmp_path: Path) -> None:
    made(tmp_path)
    git(tmp_path, "fsck", "--strict", "--full")
    assert git(tmp_path, "diff-files") == ""
    assert git(tmp_path, "status", "--porcelain", "--ignored") == ""
    assert git(tmp_path, "log", "--all", "--format=%an %ae %cn %ce %at %ct %s") == (
        "Developer developer@example.com " * 2 + f"{COMMITTED_S} {COMMITTED_S} Initial\n"
    )
    assert sorted(git(tmp_path, "ls-files").splitlines()) == sorted(FILES)
    assert git(tmp_path, "ls-tree", "HEAD:pkg", "a.py").startswith("100755 ")


@needs_git
def test_git_shows_what_is_edited_and_restores_it(tmp_path: Path) -> None:
    made(tmp_path)
    (tmp_path / "windows.txt").write_bytes(b"a\r\nc\r\n")
    (tmp_path / "new").write_bytes(b"")
    assert git(tmp_path, "status", "--porcelain") == " M windows.txt\n?? new\n"
    assert "\n-b\n+c\n" in git(tmp_path, "diff")  # text mode reads CRLF as LF
    git(tmp_path, "commit", "-qam", "mine")
    git(tmp_path, "checkout", "-q", "HEAD~1", "--", ".")
    assert (tmp_path / "windows.txt").read_bytes() == FILES["windows.txt"]


def test_it_is_the_same_wherever_and_whenever_it_is_made(tmp_path: Path) -> None:
    one, two = (made(tmp_path / name) for name in ("one", "two"))
    for path in (one / ".git").rglob("*"):
        other = two / path.relative_to(one)
        assert path.is_dir() or path.read_bytes() == other.read_bytes()


def test_it_has_no_hooks_reflog_remotes_or_names_of_this_machine(tmp_path: Path) -> None:
    found = {path.relative_to(made(tmp_path)).as_posix() for path in tmp_path.rglob(".git/**/*")}
    assert not [name for name in found if "hooks" in name or "logs" in name or "remotes" in name]
    for name in found:
        if (tmp_path / name).is_file():
            content = (tmp_path / name).read_bytes()
            assert str(tmp_path).encode() not in content
            assert os.uname().nodename.encode() not in content


def test_times_do_not_say_which_file_was_edited(tmp_path: Path) -> None:
    made(tmp_path)
    paths = [path for path in (tmp_path, *tmp_path.rglob("*")) if path.name != "index"]
    assert {path.stat().st_mtime for path in paths} == {COMMITTED_S}
