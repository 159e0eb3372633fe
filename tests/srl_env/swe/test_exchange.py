"""Tasks as rows of other projects, and such rows as tasks."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from srl_env.data import read_problems
from srl_env.errors import BadOption, UnknownName
from srl_env.problem import Problem
from srl_env.swe.exchange import export_tasks, import_tasks
from srl_env.swe.task import Repository, SWETask
from srl_env.swe.task_folder import TaskSet, TaskWriter

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")

RIGHT = "def double(x):\n    return 2 * x\n\n\ndef half(x):\n    return x / 2\n"
TESTS = (
    "from sums import double, half\n\n\ndef test_double():\n    assert double(4) == 8\n\n\n"
    "def test_half():\n    assert half(4) == 2\n"
)
TASK = SWETask(
    id="sums-1",
    repository=Repository("sums", ("tests/test_sums.py::test_double",)),
    statement="`double(4)` gives 6. It should give 8.",
    change={"sums.py": RIGHT.replace("2 * x", "2 + x")},
    fail_to_pass=("tests/test_sums.py::test_double",),
    hidden=("tests/test_sums.py",),
    trust="inprocess",
    metadata={"kinds": ["operator"]},
)
ADDED = (
    "diff --git a/{0} b/{0}\nnew file mode {1}\n--- /dev/null\n+++ b/{0}\n@@ -0,0 +1 @@\n+{2}\n"
    "\\ No newline at end of file\n"
)


@pytest.fixture
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TaskSet:
    monkeypatch.setenv("SRL_ENV_CACHE", str(tmp_path / "cache"))
    code = tmp_path / "sums"
    (code / "tests").mkdir(parents=True)
    (code / "sums.py").write_text(RIGHT)
    (code / "tests/test_sums.py").write_text(TESTS)
    ids = tuple(f"tests/test_sums.py::test_{name}" for name in ("double", "half"))
    task = replace(TASK, repository=replace(TASK.repository, tests=ids))
    writer = TaskWriter(tmp_path / "tasks")
    writer.add_repository(task.repository, code)
    writer.put("sums", [task])
    return TaskSet(tmp_path / "tasks")


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "tasks.jsonl").read_text().splitlines()]


def problems(file: Path) -> list[Problem]:
    return [item.problem for item in read_problems(file) if isinstance(item.problem, Problem)]


def git(*words: str) -> str:
    done = subprocess.run(["git", *words], capture_output=True, check=True, text=True)
    return done.stdout


def test_a_row_of_swe_bench_has_all_its_fields_and_a_commit_without_the_fix(
    tasks: TaskSet, tmp_path: Path
) -> None:
    done = export_tasks(tasks, tmp_path / "out", "swe-bench")
    assert done.lost == {"split and difficulty": 1, "metadata": 1}
    (row,) = rows(tmp_path / "out")
    assert row["patch"].endswith("-    return 2 + x\n+    return 2 * x\n \n \n def half(x):\n")
    assert row["test_patch"].startswith("diff --git a/tests/test_sums.py b/tests/test_sums.py\nnew")
    assert json.loads(row["FAIL_TO_PASS"]) == ["tests/test_sums.py::test_double"]
    assert json.loads(row["PASS_TO_PASS"]) == ["tests/test_sums.py::test_half"]
    assert set(row) == {
        "repo", "instance_id", "base_commit", "patch", "test_patch", "problem_statement",
        "hints_text", "created_at", "version", "FAIL_TO_PASS", "PASS_TO_PASS",
        "environment_setup_commit",
    }  # fmt: skip
    clone = str(tmp_path / "out/repos/sums")
    assert git("-C", clone, "ls-tree", "-r", "--name-only", row["base_commit"]) == "sums.py\n"
    assert "2 + x" in git("-C", clone, "show", f"{row['base_commit']}:sums.py")


def test_a_row_of_swe_smith_adds_the_bug_to_the_correct_code(
    tasks: TaskSet, tmp_path: Path
) -> None:
    export_tasks(tasks, tmp_path / "out", "swe-smith")
    (row,) = rows(tmp_path / "out")
    assert row["repo"].startswith("swesmith/srl-env__sums.")
    assert "-    return 2 * x\n+    return 2 + x\n" in row["patch"]
    assert row["FAIL_TO_PASS"] == ["tests/test_sums.py::test_double"]
    clone = str(tmp_path / "out/repos/sums")
    assert "2 * x" in git("-C", clone, "show", "main:sums.py")
    assert "test_half" in git("-C", clone, "show", "main:tests/test_sums.py")


def test_an_unknown_format_and_a_folder_that_is_not_empty_are_refused(
    tasks: TaskSet, tmp_path: Path
) -> None:
    with pytest.raises(UnknownName, match="swe-bench"):
        export_tasks(tasks, tmp_path / "out", "swe")
    with pytest.raises(BadOption, match="is not empty"):
        export_tasks(tasks, tmp_path, "swe-bench")


@pytest.mark.parametrize("format", ["swe-bench", "swe-smith"])
def test_exported_rows_become_the_same_tasks(tasks: TaskSet, tmp_path: Path, format: str) -> None:
    out = export_tasks(tasks, tmp_path / "out", format).folder
    before = sorted((out / "repos/sums").rglob("*"))
    report = import_tasks(problems(out / "tasks.jsonl"), out / "repos/sums", tmp_path / "again")
    assert report.outcomes == {"sums-1": "sums-1"}
    (task,) = TaskSet(tmp_path / "again")
    assert task.statement == TASK.statement
    assert task.change == TASK.change
    assert task.fail_to_pass == TASK.fail_to_pass
    assert task.pass_to_pass == ("tests/test_sums.py::test_half",)
    assert task.hidden == TASK.hidden
    assert task.steps[-1].action.startswith("<function=submit>")
    assert task.metadata["kinds"] == [format]
    assert sorted((out / "repos/sums").rglob("*")) == before  # the clone is only read


def test_hostile_ids_of_tests_and_rows_end_no_import(tasks: TaskSet, tmp_path: Path) -> None:
    out = export_tasks(tasks, tmp_path / "out", "swe-smith").folder
    (row,) = rows(out)
    hostile = [
        {"instance_id": "a", "FAIL_TO_PASS": ["tests/test_a.py\x00100644 0\tb/test_a.py::test"]},
        {"instance_id": "\ud800", "FAIL_TO_PASS": ["../tests/test_a.py::test"]},
    ]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row | each) + "\n" for each in [*hostile, row]))
    report = import_tasks(problems(file), out / "repos/sums", tmp_path / "again")
    assert (report.commits, report.kept) == (3, 1)
    assert report.outcomes["sums-1"] == "sums-1"
    assert report.outcomes["a"].startswith("its tests are not ids of pytest")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"base_commit": "HEAD\0"}, "its base commit is not in the clone"),
        ({"base_commit": "\ud800"}, "its base commit is not in the clone"),
        ({"base_commit": "a" * 200_000}, "its base commit is not in the clone"),
        ({"base_commit": "--batch"}, "its base commit is not in the clone"),
        ({"patch": ADDED.format("../evil.py", "100644", "x")}, "does not apply: .*invalid path"),
        ({"patch": ADDED.format("/tmp/evil.py", "100644", "x")}, "does not apply: .*invalid path"),
        ({"patch": ADDED.format(".git/hooks/x", "100755", "x")}, "does not apply: .*invalid path"),
        ({"patch": ADDED.format("a.py", "100644", "\ud800")}, "renames source files"),
        (
            {
                "patch": ADDED.format("link", "120000", "/tmp")
                + ADDED.format("link/evil.py", "100644", "x")
            },
            "does not apply: .*beyond a symbolic link",
        ),
        ({"base_commit": "0" * 40}, "its base commit is not in the clone"),
        ({"patch": "--- a/sums.py\n+++ b/sums.py\n@@ -1 +1 @@\n-x\n+y\n"}, "does not apply"),
        ({"FAIL_TO_PASS": ["tests/test_sums.py::test_half"]}, "1 of its 1 tests do not fail"),
        (
            {"test_patch": "--- /dev/null\n+++ b/tests/test_a.py\n@@ -0,0 +1 @@\n+import gonum\n"},
            "its tests cannot be imported here.*gonum.*made for the image docker.io/a",
        ),
    ],
)
def test_a_row_that_is_no_task_here_says_why(
    tasks: TaskSet, tmp_path: Path, changed: dict[str, Any], reason: str
) -> None:
    out = export_tasks(tasks, tmp_path / "out", "swe-bench").folder
    (row,) = rows(out)
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(row | {"image_name": "docker.io/a"} | changed) + "\n")
    report = import_tasks(problems(file), out / "repos/sums", tmp_path / "again")
    assert report.kept == 0
    assert re.search(reason, report.outcomes["sums-1"])


def test_rows_of_another_kind_are_refused(tasks: TaskSet, tmp_path: Path) -> None:
    with pytest.raises(BadOption, match="no FAIL_TO_PASS"):
        import_tasks([Problem("a", "1 + 1?", "2")], tmp_path, tmp_path / "again")
