"""An interrupted validation. Grading itself is a stand-in here; ``test_build`` has the real one."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from srl_env.sandbox import Sandbox
from srl_env.swe import Repository, SWETask, TaskWriter, validate_tasks
from srl_env.swe.builder import validation
from srl_env.swe.builder.validation import Validation, progress_path
from srl_env.swe.task_folder import TaskSet

NO_SANDBOX = cast("Sandbox", None)


@pytest.fixture
def tasks(tmp_path: Path) -> TaskSet:
    """Three tasks of one file."""
    code = tmp_path / "code"
    code.mkdir()
    (code / "one.py").write_text("def one():\n    return 1\n")
    (code / "test_one.py").write_text("def test_one():\n    pass\n")
    repository = Repository("one", tests=("test_one.py::test_one",))
    writer = TaskWriter(tmp_path / "tasks")
    writer.add_repository(repository, code)
    for number in (2, 3, 4):
        change = {"one.py": f"def one():\n    return {number}\n"}
        failing = repository.tests
        writer.add(
            SWETask(
                f"one-{number}",
                repository,
                "Wrong",
                change,
                fail_to_pass=failing,
                trust="controlled",
            )
        )
    return TaskSet(tmp_path / "tasks")


@pytest.fixture
def graded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The trees that were graded, by whether the correct code was in them."""
    monkeypatch.setenv("SRL_ENV_CACHE", str(tmp_path / "cache"))
    calls = list[str]()

    def grade(_sandbox: object, _task: object, workspace: Any) -> object:
        calls.append("gold" if workspace.changes else "empty")
        empty: dict[str, bool] = {}
        found = {"cases": empty, "fail_to_pass": empty, "pass_to_pass": empty, "tamper": ()}
        return SimpleNamespace(resolved=bool(workspace.changes), **found)

    monkeypatch.setattr(validation, "grade", grade)
    return calls


def test_an_interrupted_validation_grades_only_what_is_left(
    tasks: TaskSet, graded: list[str], tmp_path: Path
) -> None:
    progress = tmp_path / "progress.jsonl"

    def interrupt(found: list[Validation], total: int) -> None:
        assert total == 3
        if len(found) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        validate_tasks(
            tasks, times=2, jobs=1, sandbox=NO_SANDBOX, on_progress=interrupt, progress=progress
        )
    before = len(graded)
    assert before >= 2 * 4
    found = validate_tasks(tasks, times=2, jobs=1, sandbox=NO_SANDBOX, progress=progress)
    assert [item.task for item in found] == ["one-2", "one-3", "one-4"]
    assert all(item.sound for item in found)
    assert len(graded) == 3 * 4  # each task twice with either code, in both runs together
    assert not progress.exists()


def test_a_task_that_has_changed_is_graded_again(tasks: TaskSet, graded: list[str]) -> None:
    progress = progress_path(tasks, 1)

    def interrupt(found: list[Validation], total: int) -> None:
        if len(found) == total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        validate_tasks(
            tasks, times=1, jobs=1, sandbox=NO_SANDBOX, on_progress=interrupt, progress=progress
        )
    assert len(graded) == 3 * 2
    file = tasks.folder / "tasks.jsonl"
    file.write_text(file.read_text().replace("return 3", "return 5"))
    validate_tasks(TaskSet(tasks.folder), times=1, sandbox=NO_SANDBOX, progress=progress)
    assert len(graded) == 4 * 2
