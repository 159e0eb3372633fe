"""Tasks built from a small repository, end to end."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from srl_env.errors import BadData, BadOption
from srl_env.grading import grade
from srl_env.sandbox import Sandbox, Snapshot
from srl_env.swe.builder import build
from srl_env.swe.builder.build import BuildProgress, build_tasks
from srl_env.swe.builder.options import BuildOptions
from srl_env.swe.builder.report import BuildReport
from srl_env.swe.builder.validation import validate_tasks
from srl_env.swe.task_folder import TaskSet
from srl_env.text.tool_calls import parse_call
from tests.srl_env.swe.builder.conftest import SHOP, write_repository
from tests.srl_env.swe.claims import false_claims

# The tests of one function make a single call that a lost discount changes.
_TESTS = SHOP["tests/test_prices.py"].replace("    assert total([40], 0.25) == 30\n", "")
THIN = {**SHOP, "tests/test_prices.py": _TESTS}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_repository(tmp_path_factory.mktemp("code") / "shop", SHOP)


@pytest.fixture(scope="module", autouse=True)
def _small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache of its own, and rounds that suit a repository of two functions."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SRL_ENV_CACHE", str(tmp_path_factory.mktemp("cache")))
        patched.setattr(build, "ROUND", 6)
        patched.setattr(build, "SEVERAL_FRACTION", 0.4)
        yield


@pytest.fixture(scope="module")
def built(
    shop: Path, sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, BuildReport]:
    """The tasks of an uninterrupted build with one worker."""
    out = tmp_path_factory.mktemp("tasks")
    options = BuildOptions(max_tasks=3, max_bugs=2, seed=3, jobs=1)
    return out, build_tasks(shop, out, options, sandbox=sandbox)


def test_tasks_are_what_they_should_be(built: tuple[Path, BuildReport], sandbox: Sandbox) -> None:
    tasks = TaskSet(built[0])
    assert len(tasks) == 3
    assert sum(len(task.metadata["kinds"]) > 1 for task in tasks) == 1
    for task in tasks:
        assert task.trust == "oracle"
        assert 2 * len(task.fail_to_pass) <= len(task.repository.tests)
        assert set(task.fail_to_pass) | set(task.pass_to_pass) == set(task.repository.tests)
        assert task.hidden == ("tests/test_prices.py",)
        assert "prices.py" not in task.statement
        assert "test_" not in task.statement
        assert not (tasks.tree(task) / "tests/test_prices.py").exists()
        assert (tasks.tree(task) / ".git/config").read_text() != SHOP[".git/config"]
        judged = tasks.grading_task(task)
        assert grade(sandbox, judged, tasks.gold_snapshot(task)).resolved
        assert not grade(sandbox, judged, Snapshot((), ())).resolved


def test_the_expert_reproduces_finds_fixes_checks_and_submits(
    built: tuple[Path, BuildReport],
) -> None:
    for task in TaskSet(built[0]):
        calls = [parse_call(step.action) for step in task.steps]
        assert [call.render() for call in calls] == [step.action for step in task.steps]
        assert calls[-1].tool == "submit"
        bash = [str(call.arguments["command"]) for call in calls if call.tool == "bash"]
        edits = [call for call in calls if call.arguments.get("command") == "str_replace"]
        assert len(edits) >= len(task.metadata["kinds"])
        assert sum(command.startswith("python -") for command in bash) >= 3
        assert bash[-1] == "python -m pytest -qq tests/test_import.py"
        assert all(step.thought and step.observation for step in task.steps)


def test_what_experts_claim_is_true_of_their_runs(built: tuple[Path, BuildReport]) -> None:
    for task in TaskSet(built[0]):
        assert not false_claims(task.statement, task.steps)
        causes = [step.thought for step in task.steps if "str_replace</parameter>" in step.action]
        assert all(cause and "shop/prices.py" in cause for cause in causes)
        assert any("this is why the example" in (step.thought or "") for step in task.steps)


def test_a_false_claim_is_found(built: tuple[Path, BuildReport]) -> None:
    for task in TaskSet(built[0]):
        for number, step in enumerate(task.steps):
            thought = step.thought or ""
            for false in {re.sub(r"line \d+", "line 99", thought), thought.replace("`", "`7", 1)}:
                if false != thought:
                    spoiled = list(task.steps)
                    spoiled[number] = replace(step, thought=false)
                    assert false_claims(task.statement, spoiled), false


VERSIONS = """
def parse(text):
    if not text:
        raise ValueError("a version is expected")
    return [int(part) for part in text.split(".")]


def newer(one, other):
    left, right = parse(one), parse(other)
    size = max(len(left), len(right))
    left += [0] * (size - len(left))
    right += [0] * (size - len(right))
    return left > right
"""
VERSION_TESTS = """
import unittest

import pytest
from packaging.version import newer, parse

PAIRS = [("1.1", "1", True), ("1", "1.0", False), ("2", "10", False), ("3.1", "3.0.9", True)]


class TestNewer(unittest.TestCase):
    def test_pairs(self):
        for one, other, want in PAIRS:
            with self.subTest(one=one, other=other):
                self.assertEqual(newer(one, other), want)


def test_parse(subtests):
    for text, want in [("1.2", [1, 2]), ("10", [10]), ("0.0.1", [0, 0, 1])]:
        with subtests.test(text=text):
            assert parse(text) == want


@pytest.mark.xfail
def test_letters():
    assert parse("1a") == [1]
"""


def test_tests_with_subtests_of_a_repository_named_like_a_dependency_make_tasks(
    tmp_path: Path, sandbox: Sandbox
) -> None:
    files = {
        "packaging/__init__.py": "",
        "packaging/version.py": VERSIONS,
        "tests/test_version.py": VERSION_TESTS,
    }
    code = write_repository(tmp_path / "code", files)
    for path in (*code.rglob("*"), code):
        path.chmod(path.stat().st_mode & ~0o222)
    options = BuildOptions(max_tasks=2, max_bugs=1, seed=1, jobs=1)
    report = build_tasks(code, tmp_path / "tasks", options, sandbox=sandbox)
    assert not report.excluded_tests
    tasks = TaskSet(tmp_path / "tasks")
    assert len(tasks) == 2
    assert not [claim for task in tasks for claim in false_claims(task.statement, task.steps)]
    assert all(found.sound for found in validate_tasks(tasks, times=1, sandbox=sandbox))
    assert any("test_letters" in test for task in tasks for test in task.pass_to_pass)


def test_a_bug_that_one_call_shows_is_no_task(shop: Path, tmp_path: Path, sandbox: Sandbox) -> None:
    thin = write_repository(tmp_path / "thin", THIN)
    reason = "one result is all that is wrong: the example would give it away"
    options = BuildOptions(max_bugs=1, seed=3)
    reports = [
        build_tasks(path, tmp_path / path.name / "tasks", options, sandbox=sandbox)
        for path in (shop, thin)
    ]
    assert reports[0].dropped.get(reason, 0) < reports[1].dropped[reason]
    for folder in (tmp_path / path.name / "tasks" for path in (shop, thin)):
        assert all(task.metadata["wrong_results"] > 1 for task in TaskSet(folder))


def test_a_bug_that_makes_no_task_gives_its_place_to_the_next(
    tmp_path: Path, sandbox: Sandbox
) -> None:
    thin = write_repository(tmp_path / "thin", THIN)
    reports = [
        build_tasks(thin, tmp_path / f"of-{seed}", options, sandbox=sandbox)
        for seed in range(4)
        for options in [BuildOptions(max_bugs=1, max_tasks=1, seed=seed)]
    ]
    assert [report.kept for report in reports] == [1, 1, 1, 1]
    assert any(report.tried > report.kept for report in reports)


def test_functions_are_of_one_split(built: tuple[Path, BuildReport]) -> None:
    splits: dict[str, set[str]] = {}
    for task in TaskSet(built[0]):
        for function in task.metadata["functions"]:
            splits.setdefault(function, set()).add(task.split)
    assert all(len(found) == 1 for found in splits.values())


def test_the_report_adds_up(built: tuple[Path, BuildReport]) -> None:
    out, report = built
    assert (report.kept, report.tests, report.functions) == (3, 6, 2)
    singles = report.kept - 1
    assert report.tried >= singles
    assert sum(report.splits.values()) == sum(report.trust.values()) == 3
    assert json.loads((out / "report.json").read_text())["shop"]["dropped"] == report.dropped
    assert sorted(path.name for path in out.iterdir()) == [
        "dataset.json",
        "report.json",
        "repos",
        "tasks.jsonl",
    ]


def test_no_kind_is_above_its_quota_while_others_have_candidates(
    built: tuple[Path, BuildReport],
) -> None:
    _, report = built
    assert report.kinds["several"] == report.quotas["several"] == 1  # int(0.4 * 3)
    assert sum(report.kinds.values()) == 3
    below = [kind for kind, quota in report.quotas.items() if report.kinds.get(kind, 0) < quota]
    for kind, count in report.kinds.items():
        if count > 1:  # two tasks of more than two kinds: a quota of 1
            assert set(below) <= {*report.exhausted, kind}
        assert count <= report.quotas[kind]


def test_an_interrupted_build_resumes_and_ends_as_if_uninterrupted(
    built: tuple[Path, BuildReport], shop: Path, sandbox: Sandbox, tmp_path: Path
) -> None:
    def interrupt(progress: BuildProgress) -> None:
        if progress.doing == "trying bugs" and progress.tried == 3:
            raise KeyboardInterrupt

    out = tmp_path / "tasks"
    options = BuildOptions(max_tasks=3, max_bugs=2, seed=3, jobs=3)
    with pytest.raises(KeyboardInterrupt):
        build_tasks(shop, out, options, sandbox=sandbox, on_progress=interrupt)
    journal = out / ".build" / "shop.jsonl"
    assert len(journal.read_text().splitlines()) > 2
    build_tasks(shop, out, options, sandbox=sandbox)
    assert (out / "tasks.jsonl").read_bytes() == (built[0] / "tasks.jsonl").read_bytes()
    assert not journal.exists()


def test_tasks_of_the_same_name_are_only_replaced_on_request(
    built: tuple[Path, BuildReport], shop: Path, sandbox: Sandbox
) -> None:
    with pytest.raises(BadOption, match=r"already has tasks of a repository 'shop'.*--replace"):
        build_tasks(shop, built[0], sandbox=sandbox)


def test_built_tasks_are_sound_and_a_spoiled_one_is_not(
    built: tuple[Path, BuildReport], sandbox: Sandbox, tmp_path: Path
) -> None:
    assert all(found.sound for found in validate_tasks(TaskSet(built[0]), times=1, sandbox=sandbox))
    shutil.copytree(built[0], tmp_path / "spoiled")
    code = tmp_path / "spoiled/repos/shop/shop/prices.py"
    code.write_text(code.read_text().replace("reverse=True", "reverse=False"))
    found = validate_tasks(TaskSet(tmp_path / "spoiled"), times=1, sandbox=sandbox)
    assert not any(item.sound for item in found)
    assert {item.gold for item in found} == {0}
    assert all("dearest" in item.failed for item in found)


def test_oracle_cases_that_cannot_be_read_are_named_before_anything_is_written(
    tmp_path: Path, sandbox: Sandbox
) -> None:
    code = write_repository(tmp_path / "shop", {**SHOP, "oracle_cases.toml": "[[case\n"})
    with pytest.raises(BadData, match="oracle_cases.toml: not TOML"):
        build_tasks(code, tmp_path / "tasks", sandbox=sandbox)
    assert not (tmp_path / "tasks").exists()


def test_a_repository_with_one_test_is_refused_before_bugs_are_tried(
    tmp_path: Path, sandbox: Sandbox
) -> None:
    test = "from shop.prices import total\n\n\ndef test_a():\n    assert total([1]) == 1\n"
    odd = "import absent_module\n\n\ndef test_b():\n    pass\n"
    files = {**SHOP, "tests/test_prices.py": test, "tests/test_import.py": odd}
    code = write_repository(tmp_path / "shop", files)
    message = r"(?s)at least 2 tests must always pass.*got 1.*No module named 'absent_module'"
    with pytest.raises(BadOption, match=message):
        build_tasks(code, tmp_path / "tasks", sandbox=sandbox)
    assert not (tmp_path / "tasks").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_tasks": 0}, "max_tasks must be at least 1; got 0"),
        ({"max_bugs": 0}, "max_bugs must be at least 1; got 0"),
        ({"name": "a/b"}, "name must consist of letters.*got 'a/b'"),
    ],
)
def test_impossible_options_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(BadOption, match=message):
        BuildOptions(**settings)
