"""Tasks as rows of SWE-bench or SWE-smith, with the git repositories that the rows refer to.

An export is a folder::

    tasks.jsonl            one row per task
    repos/NAME/            a bare git repository of each of our repositories; without a history

In SWE-bench's format (arXiv:2310.06770) every task is a commit of its own, its ``base_commit``:
the buggy code without the hidden tests. ``patch`` fixes it, ``test_patch`` adds the hidden tests.
In SWE-smith's (arXiv:2504.21798) the repository's commit is the correct code with all tests, and
``patch`` adds the bug.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from srl_env.errors import BadOption, UnknownName
from srl_env.grading.diff import whole_diff
from srl_env.swe.git_folder import GIT_FOLDER, add_git_folder
from srl_env.swe.task import SWETask
from srl_env.swe.task_folder import TaskSet, copy_code, files_written

Row = dict[str, Any]

_NOT_IN_ROWS: Final[Mapping[str, Callable[[SWETask], object]]] = {
    "the expert's steps": lambda task: task.steps,
    "oracle cases": lambda task: task.repository.cases,
    "the trust of the verdict": lambda task: task.trust != "inprocess",
    "split and difficulty": lambda task: True,
    "folders of the import path": lambda task: task.repository.python_path != (".",),
    "packages": lambda task: task.repository.packages,
    "environment": lambda task: task.repository.environment,
    "metadata": lambda task: task.metadata,
}
"""What no row holds, and whether a task has it."""


@dataclass(frozen=True, slots=True)
class Export:
    """What was written. lost: what the tasks have and the format does not, with the number of
    tasks."""

    folder: Path
    rows: int
    lost: Mapping[str, int]


def export_tasks(tasks: TaskSet, out: Path, format: str) -> Export:
    """Writes all tasks of a folder in a format: "swe-bench" or "swe-smith".

    out: a new or empty folder. Raises UnknownName, BadOption, and BadData for damaged tasks.
    """
    if format not in FORMATS:
        raise UnknownName("format", format, FORMATS)
    if shutil.which("git") is None:
        raise BadOption("git is not installed; an export holds git repositories")
    if out.exists() and any(out.iterdir()):
        raise BadOption(f"{out} is not empty. Fix: name a new folder")
    rows = []
    for task in tasks:
        rows.append(FORMATS[format](tasks, task, out / "repos" / task.repository.name))
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (out / "tasks.jsonl").write_text("".join(lines), "utf-8")
    lost = {what: sum(bool(has(task)) for task in tasks) for what, has in _NOT_IN_ROWS.items()}
    return Export(out, len(rows), {what: count for what, count in lost.items() if count})


def _swe_bench(tasks: TaskSet, task: SWETask, repository: Path) -> Row:
    tree = tasks.tree(task)
    base = _fetched(tree, repository, task.id)
    hidden = {path: (tasks.code(task) / path).read_bytes().decode() for path in task.hidden}
    return {
        "repo": f"srl-env/{task.repository.name}",
        "instance_id": task.id,
        "base_commit": base,
        "patch": whole_diff(tree, tasks.gold_snapshot(task)),
        "test_patch": whole_diff(tree, files_written(hidden)),
        "problem_statement": task.statement,
        "hints_text": "",
        "created_at": str(task.metadata.get("date", "")),
        "version": "",
        "FAIL_TO_PASS": json.dumps(task.fail_to_pass),
        "PASS_TO_PASS": json.dumps(task.pass_to_pass),
        "environment_setup_commit": base,
    }


def _swe_smith(tasks: TaskSet, task: SWETask, repository: Path) -> Row:
    code = tasks.code(task)
    if not (repository / "refs/heads/main").exists():
        with tempfile.TemporaryDirectory() as folder:
            copy_code(code, Path(folder, "code"))
            add_git_folder(Path(folder, "code"))
            _fetched(Path(folder, "code"), repository, "main")
    commit = (repository / "refs/heads/main").read_text("ascii").strip()
    return {
        "instance_id": task.id,
        "repo": f"swesmith/srl-env__{task.repository.name}.{commit[:8]}",
        "patch": whole_diff(code, files_written(task.change)),
        "FAIL_TO_PASS": list(task.fail_to_pass),
        "PASS_TO_PASS": list(task.pass_to_pass),
        "image_name": "",
        "problem_statement": task.statement,
    }


FORMATS: Final[Mapping[str, Callable[[TaskSet, SWETask, Path], Row]]] = {
    "swe-bench": _swe_bench,
    "swe-smith": _swe_smith,
}


def _fetched(tree: Path, repository: Path, branch: str) -> str:
    """Brings the one commit of a tree into a repository, as a branch; the commit's name.

    The first one makes the repository, and is what it shows.
    """
    if not repository.exists():
        _git("init", "--quiet", "--bare", f"--initial-branch={branch}", str(repository))
    _git("-C", str(repository), "fetch", "--quiet", str(tree.resolve()), f"+main:{branch}")
    return (tree / GIT_FOLDER / "refs/heads/main").read_text("ascii").strip()


def _git(*words: str) -> None:
    done = subprocess.run(["git", *words], capture_output=True, check=False)
    if done.returncode:
        raise BadOption(f"git {words[0]} failed: {done.stderr.decode('utf-8', 'replace').strip()}")
