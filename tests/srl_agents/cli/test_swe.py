"""``srl-env swe``: output and exit codes. The building itself has tests of its own."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from srl_agents.cli.main import app
from srl_env.errors import SandboxUnavailable
from srl_env.grading import OracleCase
from srl_env.sandbox import open_sandbox
from srl_env.swe.builder import build, validation
from srl_env.swe.builder.build import BuildProgress
from srl_env.swe.builder.options import BuildOptions
from srl_env.swe.builder.report import BuildReport
from srl_env.swe.builder.validation import progress_path
from srl_env.swe.task import Repository, SWETask
from srl_env.swe.task_folder import TaskSet, TaskWriter


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "140")
    monkeypatch.setenv("SRL_ENV_CACHE", str(tmp_path / "cache"))


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["swe", *words])


def write_tasks(folder: Path, *, sound: bool = True) -> None:
    """One task of a repository of one function, judged by an oracle case."""
    code = folder.parent / "one"
    code.mkdir(exist_ok=True)
    (code / "one.py").write_text(f"def one():\n    return {1 if sound else 2}\n")
    repository = Repository("one", cases=(OracleCase("one", "from one import one", "one()", 1),))
    writer = TaskWriter(folder)
    writer.add_repository(repository, code)
    change = {"one.py": "def one():\n    return 3\n"}
    writer.add(SWETask("one-1", repository, "`one` is three\n\nWhy?", change, split="dev"))


@pytest.fixture
def _isolated() -> None:
    try:
        open_sandbox().close()
    except SandboxUnavailable as error:
        pytest.skip(str(error))


def test_tasks_are_listed_by_title_and_split(tmp_path: Path) -> None:
    write_tasks(tmp_path / "tasks")
    assert "`one` is three" in run("list", "tasks").stdout
    assert "one-1" not in run("list", "tasks", "--split", "test").stdout
    assert "Did you mean" in run("list", "tasks", "--split", "tets").stderr


@pytest.mark.usefixtures("_isolated")
def test_sound_tasks_end_with_0_and_others_with_1(tmp_path: Path) -> None:
    write_tasks(tmp_path / "tasks")
    done = run("validate", "tasks", "--times", "2")
    assert (done.exit_code, "1 of 1 tasks are sound" in done.stdout) == (0, True)
    write_tasks(tmp_path / "odd", sound=False)
    done = run("validate", "odd", "--times", "2")
    assert done.exit_code == 1
    assert "0 of 2" in done.stdout
    assert "0 of 1 tasks are sound" in done.stdout


def test_a_path_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    done = run("build", "nowhere", "--out", "tasks")
    assert done.exit_code == 2
    assert done.stderr.count("\n") <= 2
    assert "error: nowhere does not exist" in done.stderr
    assert not (tmp_path / "tasks").exists()


@pytest.mark.usefixtures("_isolated")
def test_nothing_is_left_of_a_build_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "one.py").write_text("")
    done = run("build", "one", "--out", "tasks")
    assert done.exit_code == 2
    assert "no tests in it" in done.stderr
    assert not (tmp_path / "tasks").exists()


def test_a_folder_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("")
    done = run("build", "one", "--out", "full")
    assert done.exit_code == 2
    assert "is not empty and holds no tasks" in done.stderr


def test_ctrl_c_says_how_to_resume(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(
        *given: object, policy: object, on_progress: Callable[[BuildProgress], None]
    ) -> BuildReport:
        assert policy is None
        assert given[2] == BuildOptions(max_tasks=9, jobs=2, name="x")
        on_progress(BuildProgress("trying bugs", 0.5, 3, 10))
        raise KeyboardInterrupt

    monkeypatch.setattr(build, "build_tasks", interrupted)
    done = run("build", "one", "--out", "tasks", "--max-tasks", "9", "-j", "2", "--name", "x")
    assert done.exit_code == 130
    assert "The same command resumes the build" in done.stderr


def test_an_interrupted_validation_says_how_to_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(tasks: TaskSet, **given: object) -> None:
        assert given["progress"] == progress_path(tasks, 3)
        raise KeyboardInterrupt

    write_tasks(tmp_path / "tasks")
    monkeypatch.setattr(validation, "validate_tasks", interrupted)
    done = run("validate", "tasks", "--times", "3")
    assert done.exit_code == 130
    assert "the same command resumes" in done.stderr


def test_the_report_says_what_was_dropped_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    report = BuildReport(
        name="one", tests=3, functions=2, cases=4, tried=9, kept=1, seconds=2.0,
        dropped={"no test notices it": 8}, splits={"train": 1},
        excluded_tests={"test_a.py::test_b": "fails: E   more\nE   most"}, kinds={"comparison": 1},
        quotas={"comparison": 1, "invariant": 2}, exhausted=["invariant"],
    )  # fmt: skip
    monkeypatch.setattr(build, "build_tasks", lambda *_, **__: report)
    done = run("build", "one", "--out", "tasks")
    assert done.exit_code == 0
    for words in (
        "no test notices it",
        "split train",
        "excluded: test_a.py::test_b: fails: E   most",
    ):
        assert words in done.stdout
    assert re.search(r"bug comparison +│ +1 of a quota of 1 │", done.stdout)
    assert re.search(r"without a task +│ +1 \(1 ran out of candidates\) │", done.stdout)
    assert "srl-env swe validate tasks" in done.stdout


def test_a_build_without_tasks_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    report = BuildReport("one", 3, 2, 4, 9, 0, 2.0, dropped={"no test notices it": 9})
    monkeypatch.setattr(build, "build_tasks", lambda *_, **__: report)
    done = run("build", "one", "--out", "tasks")
    assert done.exit_code == 2
    assert "no bug made a task" in done.stderr


def test_a_model_without_tasks_is_to_be_a_stronger_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = "class Model:\n    def generate(self, batch, sampling):\n        return []\n"
    (tmp_path / "own.py").write_text(text)
    report = BuildReport("one", 3, 2, 4, 0, 0, 2.0, dropped={"model: no blocks": 9})
    monkeypatch.setattr(build, "build_tasks", lambda *_, **__: report)
    done = run("build", "one", "--out", "tasks", "--model", "own.py")
    assert done.exit_code == 2
    assert "Fix: use a stronger model" in done.stderr
