"""The commits of a git repository, read without running anything of its own.

Hooks, filters, external diffs and the user's configuration stay off. Nothing is checked out, so the
working tree may be dirty and HEAD detached; only commits are read.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from srl_env.errors import BadOption
from srl_env.swe.task import check_path

SUBMODULE: Final = "160000"
_FORMAT: Final = "%x1e%H%x1f%P%x1f%aI%x1f%B%x1f"
_QUIET: Final = ("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false")


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file that a commit changes. status: "A" added, "M" modified, "D" deleted, "T" another type.

    mode: git's mode of the file after the commit, before it where it is deleted.
    """

    status: str
    path: str
    mode: str


@dataclass(frozen=True, slots=True)
class Given:
    """What a row of a data set says of its task.

    failing: tests that fail before the change and pass after it. passing: tests that pass both
    times; () for any. kind: the format that it comes from.
    """

    id: str
    statement: str
    failing: tuple[str, ...]
    passing: tuple[str, ...]
    kind: str

    @property
    def files(self) -> frozenset[str]:
        """The files of its tests."""
        return frozenset(test.partition("::")[0] for test in (*self.failing, *self.passing))


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit with one parent. date: ISO 8601, of the author. given: where it was made from a row
    of a data set, what that says."""

    sha: str
    parent: str
    date: str
    message: str
    files: tuple[FileChange, ...]
    given: Given | None = None

    @property
    def short(self) -> str:
        """The first eight digits, for names and messages."""
        return self.sha[:8]

    @property
    def label(self) -> str:
        """What reports call it."""
        return self.given.id if self.given else self.sha


class History:
    """A repository's commits up to HEAD.

    Raises BadOption for a folder without git, without commits, or with a shallow history.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._variables: dict[str, str] = {}
        if shutil.which("git") is None:
            raise BadOption("git is not installed; commits are read with it")
        if not path.is_dir():
            raise BadOption(f"{path} is not a folder; give a git repository")
        found = self._run("rev-parse", "--is-shallow-repository", check=False)
        if found.returncode:
            raise BadOption(
                f"{path} is not a git repository, or git refuses it: {first_line(found)}"
            )
        if found.stdout.strip() == b"true":
            raise BadOption(f"{path} is a shallow clone. Fix: git -C {path} fetch --unshallow")
        if self._run("rev-parse", "--verify", "-q", "HEAD^{commit}", check=False).returncode:
            raise BadOption(f"{path} has no commits")

    def commits(self, since: str | None = None) -> list[Commit]:
        """The commits that have one parent, newest first. since: a date as git reads it."""
        only = [] if since is None else [f"--since={since}"]
        log = self._run(
            "log", "--no-merges", "--raw", "-z", "--no-abbrev", "--no-renames", *only,
            f"--format={_FORMAT}", "HEAD", "--",
        ).stdout.decode("utf-8", "replace")  # fmt: skip
        return [commit for part in log.split("\x1e")[1:] if (commit := _commit(part))]

    def text(self, revision: str, path: str) -> str | None:
        """A file's text in a revision; None where it is absent or not UTF-8."""
        found = self._run("cat-file", "blob", f"{revision}:{path}", check=False)
        if found.returncode:
            return None
        try:
            return found.stdout.decode("utf-8")
        except UnicodeDecodeError:
            return None

    def export(self, revision: str, folder: Path) -> None:
        """Writes the files of a revision into a new folder, without links and submodules.

        Contents are as git keeps them: ``git archive`` would run the repository's filters.
        """
        listed = self._run("ls-tree", "-r", "-z", "--full-tree", revision).stdout.split(b"\0")
        files = [entry for entry in listed if entry.startswith(b"100")]
        with subprocess.Popen(
            self._command("cat-file", "--batch"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=_environment() | self._variables,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            for entry in files:
                about, _, path = entry.partition(b"\t")
                mode, _, sha = about.split()
                process.stdin.write(sha + b"\n")
                process.stdin.flush()
                header = process.stdout.readline().split()
                if len(header) != 3:
                    raise BadOption(f"{self._path}: {sha.decode()} is missing. Fix: git fsck")
                content = process.stdout.read(int(header[2]))
                process.stdout.read(1)
                _write(folder, os.fsdecode(path), content, executable=mode == b"100755")

    def _command(self, *words: str) -> list[str]:
        return ["git", *_QUIET, "-C", str(self._path), *words]

    def _run(
        self, *words: str, check: bool = True, stdin: bytes = b""
    ) -> subprocess.CompletedProcess[bytes]:
        environment = _environment() | self._variables
        done = subprocess.run(
            self._command(*words), capture_output=True, env=environment, check=False, input=stdin
        )
        if check and done.returncode:
            raise BadOption(f"git {words[0]} failed in {self._path}: {first_line(done)}")
        return done


def _write(folder: Path, path: str, content: bytes, *, executable: bool) -> None:
    try:
        check_path(path)
    except ValueError as error:
        raise BadOption(f"a commit holds a file that git does not make: {error}") from None
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    file.chmod(0o755 if executable else 0o644)


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return kept | {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "LC_ALL": "C"}


def _commit(part: str) -> Commit | None:
    """The commit in a part of the log; None for a first commit."""
    sha, parents, date, message, raw = part.split("\x1f", 4)
    if not parents or " " in parents:
        return None
    return Commit(sha, parents, date, message.strip(), tuple(changes_in(raw)))


def changes_in(raw: str) -> Iterator[FileChange]:
    """The changes in git's raw format with NUL: ":modes shas status", then the path."""
    fields = [field for field in raw.replace("\n", "").split("\0") if field]
    for about, path in zip(fields[::2], fields[1::2], strict=False):
        old, new, _, _, status = about.lstrip(":").split(" ")
        yield FileChange(status[0], path, old if status == "D" else new)


def first_line(done: subprocess.CompletedProcess[bytes]) -> str:
    """What git said went wrong."""
    lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return lines[0] if lines else f"exit status {done.returncode}"
