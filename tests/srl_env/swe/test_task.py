"""Tasks and their folders."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import pytest

from srl_env.errors import BadData, BadOption, UnknownName
from srl_env.grading import OracleCase
from srl_env.problem import ExpertStep
from srl_env.swe.task import Repository, SWETask
from srl_env.swe.task_folder import TaskSet, TaskWriter

CASES = (
    OracleCase("one", "from pkg.a import f", "f(1)", (1, {2.5: {"x"}}, None)),
    OracleCase("bad", "from pkg.a import f", "f('')", raises="ValueError"),
)
REPOSITORY = Repository("pkg", ("tests/test_a.py::test_f", "tests/test_b.py::test_g"), CASES)


def task(task_id: str = "pkg-1", **changes: object) -> SWETask:
    fields: dict[str, object] = {
        "id": task_id,
        "repository": REPOSITORY,
        "statement": "f is wrong",
        "change": {"pkg/a.py": "wrong = 1\n"},
        "fail_to_pass": REPOSITORY.tests[:1],
        "hidden": ("tests/test_a.py",),
        "difficulty": 0.25,
        "steps": (ExpertStep("<function=submit>\n</function>", thought="t", observation="o"),),
        "metadata": {"kinds": ["swap"]},
    }
    return SWETask(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    for name in ("pkg/a.py", "tests/test_a.py", "tests/test_b.py", ".git/config", "run.sh"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"right = '{name}'\n")
    (folder / "oracle_cases.toml").write_text("secret")
    (folder / "link").symlink_to("/etc/passwd")
    (folder / "run.sh").chmod(0o755)
    return folder


@pytest.fixture
def folder(tmp_path: Path, code: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SRL_ENV_CACHE", str(tmp_path / "cache"))
    writer = TaskWriter(tmp_path / "set", "mine")
    writer.add_repository(REPOSITORY, code)
    writer.add(task())
    writer.add(task("pkg-2", split="test", difficulty=0.75))
    return tmp_path / "set"


def test_what_is_written_is_read_back(folder: Path) -> None:
    tasks = TaskSet(folder)
    assert (tasks.name, len(tasks), tasks.ids) == ("mine", 2, ("pkg-1", "pkg-2"))
    assert next(iter(tasks)) == task()
    assert pickle.loads(pickle.dumps(tasks)).task("pkg-2").split == "test"


def test_a_buggy_file_is_kept_as_edits_of_the_correct_one(folder: Path) -> None:
    correct = "".join(f"line {number}\r\n" for number in range(9))
    (folder / "repos/pkg/pkg/a.py").write_bytes(correct.encode())
    buggy = correct.replace("line 2", "other").replace("line 7\r\n", "") + "end"
    made = task("pkg-3", change={"pkg/a.py": buggy, "pkg/new.py": "added\n"})
    TaskWriter(folder).add(made)
    row = json.loads((folder / "tasks.jsonl").read_text().splitlines()[-1])
    assert row["change"]["pkg/a.py"] == [[2, 3, "other\r\n"], [7, 8, ""], [9, 9, "end"]]
    assert row["change"]["pkg/new.py"] == "added\n"
    assert TaskSet(folder).task("pkg-3") == made


def test_tests_that_pass_despite_the_bug_must_keep_passing() -> None:
    assert task().pass_to_pass == ("tests/test_b.py::test_g",)


def test_tasks_are_chosen_by_split_repository_and_difficulty(folder: Path) -> None:
    tasks = TaskSet(folder)
    assert tasks.select(split="test") == ("pkg-2",)
    assert tasks.select(max_difficulty=0.5) == ("pkg-1",)
    assert tasks.select(repos=["pkg"]) == ("pkg-1", "pkg-2")


def test_a_tree_has_the_bug_and_nothing_that_gives_it_away(folder: Path) -> None:
    tasks = TaskSet(folder)
    tree = tasks.tree(task())
    found = {path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_file()}
    shown = {name for name in found if not name.startswith(".git/")}
    assert shown == {"pkg/a.py", "tests/test_b.py", "run.sh"}
    assert b".git/config" not in (tree / ".git/config").read_bytes()  # not the repository's own
    assert (tree / "pkg/a.py").read_text() == "wrong = 1\n"
    assert os.access(tree / "run.sh", os.X_OK)
    assert tasks.tree(task()) == tree
    assert tasks.tree(task(change={"pkg/a.py": "other\n"})) != tree


def test_the_git_file_of_a_submodule_or_worktree_is_not_in_the_tree(folder: Path) -> None:
    (folder / "repos/pkg/pkg/.git").write_text("gitdir: ../../.git/modules/pkg")
    assert not (TaskSet(folder).tree(task()) / "pkg/.git").exists()


def test_a_changed_repository_makes_another_tree(folder: Path) -> None:
    before = TaskSet(folder).tree(task())
    (folder / "repos/pkg/tests/test_b.py").write_text("changed")
    assert TaskSet(folder).tree(task()) != before


def test_what_decides_is_the_repository_s_own(folder: Path) -> None:
    grading = TaskSet(folder).grading_task(task())
    assert grading.hidden == {"tests/test_a.py": b"right = 'tests/test_a.py'\n"}
    assert grading.cases == CASES
    assert TaskSet(folder).gold(task()) == {"pkg/a.py": "right = 'pkg/a.py'\n"}


def test_a_cache_that_cannot_be_written_is_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SRL_ENV_CACHE", str(tmp_path / "file"))
    with pytest.raises(BadOption, match="set SRL_ENV_CACHE to a folder"):
        TaskSet(folder).tree(task())


def test_a_repository_s_tasks_are_put_in_at_once(folder: Path) -> None:
    TaskWriter(folder).put("pkg", [task("new")])
    assert TaskSet(folder).ids == ("new",)


def test_any_text_of_a_task_stays_on_its_line(folder: Path) -> None:
    odd = "a\u2028b\x85c\r\x0c\x1ed"
    other = Repository("other", REPOSITORY.tests, CASES)
    TaskWriter(folder).add_repository(other, folder / "repos/pkg")
    TaskWriter(folder).add(task("odd", repository=other, statement=odd, change={"x.py": odd}))
    TaskWriter(folder).put("pkg", [task("new")])
    assert TaskSet(folder).ids == ("odd", "new")
    assert TaskSet(folder).task("odd").change == {"x.py": odd}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "tasks.jsonl:3: "),
        ('{"id": "x"}', "tasks.jsonl:3: 'repo' is missing"),
        (json.dumps(task().to_row()), "tasks.jsonl:3: a second task with the id 'pkg-1'"),
    ],
)
def test_a_bad_line_is_named(folder: Path, line: str, message: str) -> None:
    with (folder / "tasks.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(BadData, match=message):
        TaskSet(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"change": {"../x": ""}}, "paths must lie inside"),
        ({"change": {"../x.py": [[0, 0, ""]]}}, "paths must lie inside"),
        ({"change": {"pkg/none.py": [[0, 0, ""]]}}, "which the correct code does not have"),
        ({"change": {"pkg/a.py": [[1, 9, ""]]}}, "lines 1 to 9 of 1 in pkg/a.py"),
        ({"change": {"pkg/a.py": [[0]]}}, "not enough values"),
        ({"change": {"pkg/a.py": 7}}, "not reversible"),
        ({"hidden": ["/etc/passwd"]}, "paths must lie inside"),
        ({"split": "trian"}, "'split' must be one of train, dev, test"),
    ],
)
def test_a_row_that_cannot_be_a_task_is_named(
    folder: Path, change: dict[str, object], message: str
) -> None:
    with (folder / "tasks.jsonl").open("a") as file:
        file.write(json.dumps({**task("bad").to_row(), **change}) + "\n")
    with pytest.raises(BadData, match=f"tasks.jsonl:3: .*{message}"):
        TaskSet(folder).task("bad")


def test_an_unknown_task_is_named(folder: Path) -> None:
    with pytest.raises(UnknownName, match="Did you mean 'pkg-1'"):
        TaskSet(folder).task("pkg1")


def test_another_format_is_refused(folder: Path) -> None:
    (folder / "dataset.json").write_text('{"format": 9}')
    with pytest.raises(BadData, match="format must be 1; got 9"):
        TaskSet(folder)


def test_a_folder_of_something_else_is_not_written_into(tmp_path: Path) -> None:
    (tmp_path / "photo").write_text("")
    with pytest.raises(BadOption, match="is not empty and holds no tasks"):
        TaskWriter(tmp_path)
