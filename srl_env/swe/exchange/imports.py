"""Rows of SWE-bench and SWE-smith as tasks, run in the sandbox before they count.

Each row becomes a commit: the code before and after its change, with its tests. The commits are
made beside the clone, which is only read. Then they are tried as the commits of a history are
(``srl_env.swe.mining``), with the row's statement and tests.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

from srl_env.errors import BadOption
from srl_env.problem import Problem
from srl_env.sandbox import Sandbox
from srl_env.swe.builder.project import is_test_file
from srl_env.swe.mining.history import Commit, Given, History, changes_in, first_line
from srl_env.swe.mining.mine import MineProgress, MineReport, tasks_of_commits
from srl_env.swe.mining.options import MineOptions
from srl_env.swe.mining.trial import NOT_IMPORTED
from srl_env.text.unicode import utf8_safe

_PERSON: Final = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (
        ("NAME", "srl-env"),
        ("EMAIL", "srl-env@example.com"),
        ("DATE", "2000-01-01T00:00:00Z"),
    )
}
_REVISION: Final = re.compile(r"[\w./][\w./-]{0,200}", re.ASCII)


class _RefusedError(Exception):
    """Why a row is no commit."""


def import_tasks(
    problems: Iterable[Problem],
    clone: Path,
    out: Path,
    options: MineOptions = MineOptions(),  # noqa: B008  # frozen
    *,
    sandbox: Sandbox | None = None,
    on_progress: Callable[[MineProgress], None] = lambda _: None,
) -> MineReport:
    """Makes tasks of rows of one repository, and writes them into a folder.

    problems: as ``srl_env.data.read_problems`` reads rows of SWE-bench and SWE-smith. clone: a git
    repository with their base commits; for SWE-smith, its HEAD is the correct code. Tests run with
    the packages that are installed here.
    Raises BadOption, SandboxUnavailable, SandboxFailure. After any end, calling it again continues.
    """
    problems = list(problems)
    if any("fail_to_pass" not in problem.metadata for problem in problems):
        raise BadOption("rows must be of SWE-bench or SWE-smith; these have no FAIL_TO_PASS")
    options = replace(options, name=options.name or clone.resolve().name.removesuffix(".git"))
    commits, refused = list[Commit](), dict[str, str]()
    with tempfile.TemporaryDirectory(prefix="srl-import-") as folder:
        history = PatchedHistory(clone, Path(folder))
        for problem in problems:
            try:
                commits.append(history.commit_of(problem))
            except _RefusedError as error:
                refused[utf8_safe(problem.id)] = str(error)
        report = tasks_of_commits(
            history,
            commits,
            out,
            options,
            about={"rows": _digest(problems)},
            sandbox=sandbox,
            on_progress=on_progress,
        )
    images = {utf8_safe(each.id): each.metadata.get("image_name", "") for each in problems}
    outcomes = {
        name: f"{found}; it is made for the image {images[name]}"
        if images[name] and found.startswith(NOT_IMPORTED)
        else found
        for name, found in {**report.outcomes, **refused}.items()
    }
    dropped = Counter(report.dropped) + Counter(refused.values())
    return replace(
        report, commits=len(problems), outcomes=outcomes, dropped=dict(dropped.most_common())
    )


def _digest(problems: Iterable[Problem]) -> str:
    rows = [(problem.id, problem.prompt, dict(problem.metadata)) for problem in problems]
    text = json.dumps(rows, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


class PatchedHistory(History):
    """A clone, and commits that are made from rows. New objects go into a folder beside it."""

    def __init__(self, clone: Path, folder: Path) -> None:
        super().__init__(clone)
        found = self._run("rev-parse", "--path-format=absolute", "--git-path", "objects")
        (folder / "objects").mkdir()
        self._variables = _PERSON | {
            "GIT_OBJECT_DIRECTORY": str(folder / "objects"),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": found.stdout.decode().strip(),
            "GIT_INDEX_FILE": str(folder / "index"),
        }

    def commit_of(self, problem: Problem) -> Commit:
        """The commit that fixes a problem, its parent the buggy code without the hidden tests."""
        about = problem.metadata
        failing, passing = (
            tuple(map(utf8_safe, about[name])) for name in ("fail_to_pass", "pass_to_pass")
        )
        base = about["base_commit"] or "HEAD"
        if (
            not _REVISION.fullmatch(base)
            or self._run("cat-file", "-e", f"{base}^{{commit}}", check=False).returncode
        ):
            raise _RefusedError("its base commit is not in the clone")
        if about["bug_patch"]:
            kind, after = "swe-smith", self._tree(base)
            before = self._tree(base, about["bug_patch"], without=_files(failing))
        else:
            kind, before = "swe-bench", self._tree(base)
            after = self._tree(base, about["gold_patch"], about["test_patch"])
        parent = self._committed(before)
        sha = self._committed(after, "-p", parent)
        raw = self._run(
            "diff-tree", "-r", "--raw", "-z", "--no-abbrev", "--no-renames", parent, sha
        )
        return Commit(
            sha,
            parent,
            utf8_safe(about["created_at"]),
            "",
            tuple(changes_in(raw.stdout.decode("utf-8", "replace"))),
            Given(utf8_safe(problem.id), utf8_safe(problem.prompt), failing, passing, kind),
        )

    def _tree(self, revision: str, *patches: str, without: Iterable[str] = ()) -> str:
        """The tree of a revision with patches applied, and without some files."""
        self._run("read-tree", revision)
        for patch in filter(None, patches):
            text = utf8_safe(patch if patch.endswith("\n") else f"{patch}\n").encode()
            done = self._run("apply", "--cached", "--whitespace=nowarn", check=False, stdin=text)
            if done.returncode:
                raise _RefusedError(f"its patch does not apply: {first_line(done)}")
        removed = "".join(f"0 {'0' * 40}\t{path}\0" for path in without)
        self._run("update-index", "-z", "--index-info", stdin=removed.encode())
        return self._run("write-tree").stdout.decode().strip()

    def _committed(self, tree: str, *options: str) -> str:
        return self._run("commit-tree", tree, "-m", "row", *options).stdout.decode().strip()


def _files(tests: Iterable[str]) -> list[str]:
    """The files of some tests. Raises _RefusedError for ids that are not pytest's."""
    files = dict.fromkeys(test.partition("::")[0] for test in tests)
    if not all(is_test_file(file) and file.isprintable() for file in files):
        raise _RefusedError('its tests are not ids of pytest, such as "tests/test_a.py::test_b"')
    return list(files)
