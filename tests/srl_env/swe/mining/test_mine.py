"""Mining a small repository: which commits become tasks, what they hold, why others do not."""

from __future__ import annotations

import json
import shutil
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from srl_agents.cli.main import app
from srl_env.errors import BadData, BadOption
from srl_env.grading import grade
from srl_env.sandbox import Snapshot, open_sandbox
from srl_env.swe.dependencies.environment import Environment, MissingEnvironment
from srl_env.swe.mining import MineOptions, MineReport, mine_tasks, read_issues
from srl_env.swe.task_folder import TaskSet
from tests.srl_env.swe.claims import false_claims
from tests.srl_env.swe.wheels import add_wheel

CALC = '''"""Sums and means."""


def mean(values):
    """The mean of some numbers."""
    return sum(values) / len(values)


def total(values):
    return sum(values)
'''
FIXED = CALC.replace(
    "    return sum(values) / len(values)",
    "    if not values:\n        return 0.0\n    return sum(values) / len(values)",
)
TESTS = """from calc import mean, total


def test_mean():
    assert mean([1, 2, 3]) == 2


def test_total():
    assert total([1, 2]) == 3
"""
MORE = TESTS + "\n\ndef test_mean_of_nothing():\n    assert mean([]) == 0.0\n"


class Repo:
    """A git repository that is written commit by commit."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.git("init", "-q", "-b", "main")

    def git(self, *words: str) -> str:
        settings = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
        command = ["git", "-C", str(self.folder), *settings, *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def commit(self, message: str, files: dict[str, str | None]) -> str:
        """Writes files (None removes one) and commits them; the commit's id."""
        for path, text in files.items():
            file = self.folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.unlink() if text is None else file.write_text(text)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")


@pytest.fixture(scope="module")
def mined(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Repo, dict[str, str], MineReport, Path]:
    """A repository with a commit of each kind, {kind: id}, and what mining it gave."""
    folder = tmp_path_factory.mktemp("mine")
    repo, shas = Repo(folder / "calc"), dict[str, str]()
    repo.commit("First", {"calc.py": CALC, "test_calc.py": TESTS})
    shas["docs"] = repo.commit("Explain", {"README.md": "Sums."})
    shas["untested"] = repo.commit("Speed", {"calc.py": CALC + "\n\nX = 1\n"})
    formatted = (CALC + "\n\nX = 1\n").replace('"""Sums and means."""', "'''Means and sums.'''")
    shas["format"] = repo.commit("Black", {"calc.py": formatted, "test_calc.py": TESTS + "\n"})
    fixed = formatted.replace(CALC[CALC.index("def mean") :], FIXED[FIXED.index("def mean") :])
    message = (
        "Return 0.0 for the mean of no numbers (#7)\n\n"
        "An empty list made mean() fail. Now:\n\n        return 0.0\n    if not values:\n\n"
        "* add test_mean_of_nothing\n\nSigned-off-by: A <a@b>"
    )
    shas["fix"] = repo.commit(message, {"calc.py": fixed, "test_calc.py": MORE})
    shas["revert"] = repo.commit("Back", {"calc.py": CALC, "test_calc.py": TESTS})
    shas["again"] = repo.commit(message, {"calc.py": FIXED, "test_calc.py": MORE})
    renamed = MORE.replace("from calc", "from sums")
    moved = {"calc.py": None, "sums.py": FIXED, "test_calc.py": renamed}
    shas["rename"] = repo.commit("Move", moved)
    named = (
        renamed + "\n\ndef test_new():\n    from sums import median\n    assert median([1]) == 1\n"
    )
    median = FIXED + "\n\ndef median(values):\n    return sorted(values)[len(values) // 2]\n"
    shas["feature"] = repo.commit(
        "Add the median of some numbers", {"sums.py": median, "test_calc.py": named}
    )
    (repo.folder / "dirty.py").write_text("not committed")
    repo.git("checkout", "-q", "--detach")
    return repo, shas, mine_tasks(repo.folder, folder / "tasks"), folder / "tasks"


def test_each_commit_is_a_task_or_has_a_reason(
    mined: tuple[Repo, dict[str, str], MineReport, Path],
) -> None:
    _, shas, report, _ = mined
    outcomes = {kind: report.outcomes[sha] for kind, sha in shas.items()}
    assert outcomes == {
        "docs": "it changes no tests",
        "untested": "it changes no tests",
        "format": "formatting, comments or docstrings only",
        "fix": "the same change as another commit",
        "revert": "no changed test fails before the commit and passes after it",
        "again": f"calc-{shas['again'][:8]}-commit",
        "rename": "it adds, deletes or renames source files",
        "feature": f"calc-{shas['feature'][:8]}-commit",
    }
    assert (report.commits, report.kept) == (8, 2)


def test_a_task_has_the_code_before_the_commit_and_hides_its_tests(
    mined: tuple[Repo, dict[str, str], MineReport, Path],
) -> None:
    _, shas, _, out = mined
    tasks = TaskSet(out)
    task = tasks.task(f"calc-{shas['again'][:8]}-commit")
    assert task.fail_to_pass == ("test_calc.py::test_mean_of_nothing",)
    assert set(task.pass_to_pass) == {"test_calc.py::test_mean", "test_calc.py::test_total"}
    tree = tasks.tree(task)
    assert sorted(path.name for path in tree.iterdir()) == [".git", "README.md", "calc.py"]
    assert (tree / "calc.py").read_text() == CALC
    assert task.metadata["commit"] == shas["again"]
    with closing(open_sandbox()) as sandbox:
        judged = tasks.grading_task(task)
        assert grade(sandbox, judged, tasks.gold_snapshot(task)).resolved
        assert not grade(sandbox, judged, Snapshot((), ())).resolved


def test_a_statement_says_what_the_message_says_without_the_patch(
    mined: tuple[Repo, dict[str, str], MineReport, Path],
) -> None:
    _, shas, _, out = mined
    statement = TaskSet(out).task(f"calc-{shas['again'][:8]}-commit").statement
    assert statement.startswith("Return 0.0 for the mean of no numbers\n\nThe change that is asked")
    assert "\n\n> An empty list made" in statement
    for secret in ("#7", "return 0.0\n", "if not values", "test_mean", "Signed-off"):
        assert secret not in statement
    assert "ZeroDivisionError" in statement
    assert "from calc import mean" in statement


def test_the_expert_reproduces_reads_edits_checks_and_submits(
    mined: tuple[Repo, dict[str, str], MineReport, Path],
) -> None:
    _, shas, _, out = mined
    steps = TaskSet(out).task(f"calc-{shas['again'][:8]}-commit").steps
    assert ["ZeroDivisionError" in (step.observation or "") for step in steps][:2] == [True, False]
    assert "ZeroDivisionError" in (steps[1].thought or "")
    assert not false_claims(TaskSet(out).task(f"calc-{shas['again'][:8]}-commit").statement, steps)
    assert [("str_replace" in s.action and "old_str" in s.action) for s in steps].count(True) == 1
    assert "submit" in steps[-1].action
    assert "0.0" in (steps[-2].observation or "")


def test_mining_continues_where_it_stopped_and_keeps_the_order(
    mined: tuple[Repo, dict[str, str], MineReport, Path], tmp_path: Path
) -> None:
    repo, shas, report, out = mined
    first = mine_tasks(repo.folder, tmp_path / "tasks", MineOptions(max_tasks=1, jobs=1))
    assert list(first.outcomes.values()) == [f"calc-{shas['feature'][:8]}-commit"]
    again = mine_tasks(repo.folder, tmp_path / "tasks", MineOptions(jobs=2))
    assert again.outcomes == report.outcomes
    assert TaskSet(tmp_path / "tasks").ids == TaskSet(out).ids
    assert not list((tmp_path / "tasks/.mine/calc").iterdir())


def test_a_commit_that_needs_another_package_is_tried_again_in_the_next_run(tmp_path: Path) -> None:
    repo = Repo(tmp_path / "needs")
    tests = f"import not_installed_anywhere\n{TESTS}"
    repo.commit("a", {"calc.py": CALC, "test.py": tests})
    repo.commit("Mean of nothing is zero", {"calc.py": FIXED, "test.py": f"import math\n{tests}"})
    report = mine_tasks(repo.folder, tmp_path / "out")
    (reason,) = report.outcomes.values()
    assert reason.endswith("ModuleNotFoundError: No module named 'not_installed_anywhere'")
    assert (tmp_path / "out/.mine/needs.jsonl").read_text().count("\n") == 1


def test_packages_that_a_commit_declares_are_installed_for_its_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_wheel(tmp_path, "halving", "1.5", "def half(value):\n    return value / 2\n")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("SRL_ENV_CACHE", str(tmp_path / "cache"))
    repo = Repo(tmp_path / "needs")
    setup = "from setuptools import setup\nraise SystemExit\nsetup(install_requires=['halving'])\n"
    code = "from halving import half\n\n\ndef mean(a, b):\n    return half(a) + b\n"
    test = "from calc import mean\n\n\ndef test_mean():\n    assert mean(1, 3) == 2.5\n"
    repo.commit("a", {"setup.py": setup, "calc.py": code, "test_calc.py": test})
    fixed = code.replace("+ b", "+ half(b)")
    repo.commit("Halve both", {"calc.py": fixed, "test_calc.py": test.replace("2.5", "2.0")})
    report = mine_tasks(repo.folder, tmp_path / "out", MineOptions(install=True))
    assert report.kept == 1, report.dropped
    (task,) = TaskSet(tmp_path / "out")
    assert task.repository.environment == Environment(("halving==1.5",))
    shutil.rmtree(tmp_path / "cache")
    with closing(open_sandbox()) as sandbox, pytest.raises(MissingEnvironment, match="swe install"):
        grade(sandbox, TaskSet(tmp_path / "out").grading_task(task), Snapshot((), ()))


def test_a_commit_for_another_python_says_so(tmp_path: Path) -> None:
    repo = Repo(tmp_path / "later")
    about = "[project]\nname = 'calc'\nrequires-python = '>=4'\n"
    repo.commit("a", {"pyproject.toml": about, "calc.py": CALC, "test_calc.py": TESTS})
    repo.commit("Mean of nothing is zero", {"calc.py": FIXED, "test_calc.py": MORE})
    (reason,) = mine_tasks(repo.folder, tmp_path / "out").outcomes.values()
    assert reason.startswith("it needs Python >=4; this is 3.")


def test_tests_that_do_not_end_are_given_up_and_remembered(tmp_path: Path) -> None:
    repo = Repo(tmp_path / "slow")
    repo.commit("a", {"calc.py": CALC, "test_calc.py": TESTS})
    endless = MORE.replace("assert mean([]) == 0.0", "while True:\n        mean([])")
    repo.commit("Mean of nothing is zero", {"calc.py": FIXED, "test_calc.py": endless})
    for _ in range(2):
        report = mine_tasks(repo.folder, tmp_path / "out", MineOptions(test_timeout_s=2))
        assert list(report.outcomes.values()) == ["its tests take longer than 2 s"]
    assert (tmp_path / "out/.mine/slow.jsonl").read_text().count("\n") == 2


def test_a_full_disk_is_one_line_and_the_run_continues(
    mined: tuple[Repo, dict[str, str], MineReport, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    repo, _, _, _ = mined
    with monkeypatch.context() as patched:

        def put(*_: object) -> None:
            raise OSError(28, "No space left on device", "tasks.jsonl")

        patched.setattr("srl_env.swe.mining.mine.TaskWriter.put", put)
        with pytest.raises(BadOption, match=r"tasks.jsonl cannot be written: No space.*repeat"):
            mine_tasks(repo.folder, tmp_path / "out", MineOptions(max_tasks=1))
    report = mine_tasks(repo.folder, tmp_path / "out", MineOptions(max_tasks=1))
    assert report.kept == len(TaskSet(tmp_path / "out")) == 1


def test_an_issue_that_a_message_names_is_the_statement(
    mined: tuple[Repo, dict[str, str], MineReport, Path], tmp_path: Path
) -> None:
    repo, _, _, _ = mined
    issues = tmp_path / "issues.json"
    rows = [
        {
            "number": 7,
            "title": "mean([]) raises",
            "body": "I expected 0.0 here.\n```diff\n@@ x\n```",
        }
    ]
    issues.write_text(json.dumps(rows))
    done = CliRunner().invoke(
        app, ["swe", "mine", str(repo.folder), "-o", str(tmp_path / "t"), "--issues", str(issues)]
    )
    assert done.exit_code == 0, done.output
    statements = [task.statement for task in TaskSet(tmp_path / "t")]
    assert any(
        s.startswith("mean([]) raises\n\nI expected 0.0 here.\n\nTo repro") for s in statements
    )


def test_what_cannot_be_mined_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    empty = Repo(tmp_path / "empty")
    full = Repo(tmp_path / "full")
    for number in range(2):
        full.commit("x", {"a.py": f"{number}"})
    shallow = tmp_path / "shallow"
    subprocess.run(
        ["git", "clone", "-q", "--depth", "1", f"file://{full.folder}", str(shallow)], check=True
    )
    for folder, message in (
        (tmp_path / "none", "is not a folder"),
        (tmp_path / "plain", "is not a git repository"),
        (empty.folder, "has no commits"),
        (shallow, r"is a shallow clone. Fix: git .* fetch --unshallow"),
    ):
        with pytest.raises(BadOption, match=message) as raised:
            mine_tasks(folder, tmp_path / "out")
        assert "\n" not in str(raised.value)
    assert not (tmp_path / "out").exists()
    (tmp_path / "bad.json").write_text("[{}]")
    with pytest.raises(BadData, match="number, title and body"):
        read_issues(tmp_path / "bad.json")


def test_nothing_of_a_repository_runs_outside_the_sandbox(tmp_path: Path) -> None:
    repo = Repo(tmp_path / "evil")
    repo.commit("a", {"calc.py": CALC, "test_calc.py": TESTS, ".gitattributes": "*.py filter=f\n"})
    repo.commit("Fix the mean of no numbers", {"calc.py": FIXED, "test_calc.py": MORE})
    ran = tmp_path / "ran"
    for key in ("filter.f.smudge", "core.fsmonitor", "core.sshCommand", "diff.external"):
        repo.git("config", key, f"touch {ran}; cat")
    report = mine_tasks(repo.folder, tmp_path / "out")
    assert not ran.exists()
    assert report.kept == 1


@pytest.mark.parametrize("text", ["notadate", "yesterday", "2020-13-01", ""])
def test_since_is_a_date_and_nothing_that_git_would_read_as_today(text: str) -> None:
    assert MineOptions(since="2020-01-31").since == "2020-01-31"
    with pytest.raises(BadOption, match="since must be a date"):
        MineOptions(since=text)
