"""The tasks that ship: what a user gets without building any."""

from __future__ import annotations

import os
import re
import subprocess
import zlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from srl_env.errors import UnknownName
from srl_env.grading import grade, warm_judges
from srl_env.sandbox import Sandbox, Snapshot, open_sandbox
from srl_env.swe import validate_tasks
from srl_env.swe.builder.coherent import FINDERS
from srl_env.swe.mining.history import History
from srl_env.swe.task import CASES_FILE, SPLITS, SWETask
from srl_env.swe.task_folder import TaskSet, code_files
from srl_env.swe.tools import Workbench
from srl_env.swe.workspace import open_workspace
from srl_env.text.tool_calls import parse_call
from srl_tasks.swe.problems import SHIPPED

EMPTY = Snapshot((), ())
MOST_BYTES = 10 << 20
MOST_PACKED_BYTES = 2 << 20
BUILT = ("formulate", "gridfile", "pagemill", "roomdiary", "stockroom", "taskweave", "tillbook")
HISTORIES = ("layerconf", "pickrow", "stockroom", "waymark")


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TaskSet]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SRL_ENV_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield TaskSet(SHIPPED)


@pytest.fixture(scope="module")
def tasks(shipped: TaskSet) -> list[SWETask]:
    return list(shipped)


@pytest.fixture(scope="module")
def built(tasks: list[SWETask]) -> list[SWETask]:
    return [task for task in tasks if not is_mined(task)]


@pytest.fixture(scope="module")
def mined(tasks: list[SWETask]) -> list[SWETask]:
    return list(filter(is_mined, tasks))


def is_mined(task: SWETask) -> bool:
    return task.metadata["kinds"] == ["commit"]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    made = open_sandbox(preload=warm_judges())
    yield made
    made.close()


def test_there_are_many_tasks_from_repositories_in_different_areas(
    shipped: TaskSet, built: list[SWETask], mined: list[SWETask]
) -> None:
    assert tuple(sorted({task.repository.name for task in built})) == BUILT
    assert min(Counter(task.repository.name for task in built).values()) >= 10
    assert tuple(sorted({name_of(task) for task in mined})) == HISTORIES
    assert len(built) + len(mined) == len(set(shipped.ids)) >= 160


def test_a_name_selects_all_commits_of_a_repository(shipped: TaskSet) -> None:
    ids = shipped.select(repos=["pickrow"])
    assert len(ids) == 13
    assert all(task_id.startswith("pickrow-") for task_id in ids)
    assert shipped.select(repos=["pickrow-e157854b"]) == ("pickrow-e157854b-commit",)
    assert len(shipped.select(repos=["stockroom"])) > len(
        shipped.select(repos=["stockroom-7e9d9281"])
    )
    with pytest.raises(UnknownName):
        shipped.select(repos=["pick"])


def name_of(task: SWETask) -> str:
    """The name of a mined task's repository, without the commit."""
    return task.repository.name.rpartition("-")[0]


def test_forty_tasks_are_mined_or_have_a_fault_in_several_functions(tasks: list[SWETask]) -> None:
    wide = [task for task in tasks if is_mined(task) or set(task.metadata["kinds"]) <= {*FINDERS}]
    assert len(wide) >= 40
    assert all(len(task.fail_to_pass) <= len(task.pass_to_pass) for task in wide)
    assert sum(len(task.change) > 1 for task in wide) >= 5


def test_what_ships_is_small() -> None:
    files = [path for path in SHIPPED.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert sum(path.stat().st_size for path in files) < MOST_BYTES
    assert sum(len(zlib.compress(path.read_bytes())) for path in files) < MOST_PACKED_BYTES


@pytest.mark.parametrize("name", HISTORIES)
def test_mined_tasks_are_commits_of_the_history_that_ships(
    shipped: TaskSet, mined: list[SWETask], tmp_path: Path, name: str
) -> None:
    """The mailbox makes the same commits again, and their files are the tasks' code."""
    who = {"GIT_COMMITTER_NAME": "srl-env", "GIT_COMMITTER_EMAIL": "srl-env@example.org"}
    env = {**os.environ, **who, "GIT_CONFIG_GLOBAL": os.devnull}
    run = ["git", "-C", str(tmp_path)]
    subprocess.run([*run, "init", "-q", "-b", "main"], check=True, env=env)
    apply = [*run, "am", "-q", "--committer-date-is-author-date", SHIPPED / f"history/{name}.mbox"]
    subprocess.run(apply, check=True, env=env, capture_output=True)
    commits = {commit.sha for commit in History(tmp_path).commits()}
    tasks = [task for task in mined if name_of(task) == name]
    assert {task.metadata["commit"] for task in tasks} <= commits
    for task in tasks:
        History(tmp_path).export(task.metadata["commit"], tmp_path / task.id)
        code, kept = tmp_path / task.id, shipped.code(task)
        assert list(code_files(code)) == list(code_files(kept))
        assert all((code / p).read_bytes() == (kept / p).read_bytes() for p in code_files(kept))


def test_a_mined_task_is_decided_by_the_tests_of_its_commit(mined: list[SWETask]) -> None:
    for task in mined:
        assert task.trust == "controlled"
        assert task.pass_to_pass
        assert {test.partition("::")[0] for test in task.fail_to_pass} <= set(task.hidden)


def test_every_built_task_is_decided_by_calls_and_by_tests(built: list[SWETask]) -> None:
    for task in built:
        assert task.trust == "oracle"
        assert len(task.repository.cases) >= 50
        assert task.metadata["wrong_results"] > 1  # the statement shows one
        assert task.fail_to_pass
        assert task.pass_to_pass
        assert {test.partition("::")[0] for test in task.fail_to_pass} == set(task.hidden)


def test_there_are_tasks_of_every_split_and_many_kinds(tasks: list[SWETask]) -> None:
    assert {task.split for task in tasks} == set(SPLITS)
    assert min(Counter(task.split for task in tasks).values()) >= 8
    assert len({kind for task in tasks for kind in task.metadata["kinds"]}) >= 12
    assert {len(task.metadata["kinds"]) for task in tasks} >= {1, 2, 3}


def test_some_tasks_are_harder_than_others(tasks: list[SWETask]) -> None:
    found = sorted(task.difficulty for task in tasks)
    assert 0 <= found[0] < 0.2
    assert 0.45 < found[-1] <= 1
    assert 0.1 < found[len(found) // 2] < 0.5


def test_no_function_has_bugs_in_two_splits(built: list[SWETask]) -> None:
    splits: dict[tuple[str, str], set[str]] = {}
    for task in built:
        for function in task.metadata["functions"]:
            splits.setdefault((task.repository.name, function), set()).add(task.split)
    assert all(len(found) == 1 for found in splits.values())


def test_no_two_tasks_have_the_same_buggy_code(tasks: list[SWETask]) -> None:
    codes = {(task.repository.name, *sorted(task.change.items())) for task in tasks}
    assert len(codes) == len(tasks)


def test_a_statement_names_no_file_and_no_oracle_case(
    shipped: TaskSet, tasks: list[SWETask]
) -> None:
    for task in tasks:
        assert not re.search(r"\w+\.py\b|\btests?/", task.statement)
        assert all(path not in task.statement for path in map(str, code_files(shipped.code(task))))
        shown = {line.strip() for line in task.statement.splitlines()}
        assert not [case.name for case in task.repository.cases if case.expression in shown]


def test_a_statement_tells_what_comes_out_and_what_should(tasks: list[SWETask]) -> None:
    for task in tasks:
        blocks = 2 if is_mined(task) else 6 * len(task.metadata["kinds"])
        assert task.statement.count("```") >= blocks
        assert "/workspace" not in task.statement
        assert len(task.statement) < 6_000


def test_what_decides_is_not_in_the_tree(shipped: TaskSet, tasks: list[SWETask]) -> None:
    for task in tasks:
        tree = shipped.tree(task)
        assert not any((tree / path).exists() for path in task.hidden)
        assert not (tree / CASES_FILE).exists()
        for path, correct in shipped.gold(task).items():
            assert (tree / path).read_text() == task.change[path] != correct
        assert list((tree / "tests").glob("test_*.py"))


def test_an_expert_reproduces_edits_and_submits(tasks: list[SWETask]) -> None:
    for task in tasks:
        calls = [parse_call(step.action) for step in task.steps]
        assert [call.tool for call in calls].index("submit") == len(calls) - 1
        edits = [call for call in calls if call.arguments.get("command") == "str_replace"]
        assert len(edits) >= len(task.metadata["kinds"])
        assert 4 <= len(calls) <= 40
        assert all(step.thought and step.observation for step in task.steps)


def test_no_expert_step_ends_in_an_error_of_the_tools(tasks: list[SWETask]) -> None:
    for task in tasks:
        for step in task.steps:
            assert not (step.observation or "").startswith(("Invalid", "No ", "The text"))


@pytest.mark.parametrize("name", BUILT)
def test_a_repository_passes_its_own_tests_and_not_with_a_bug(
    shipped: TaskSet, built: list[SWETask], sandbox: Sandbox, name: str
) -> None:
    task = next(task for task in built if task.repository.name == name)
    judged = shipped.grading_task(task)
    assert set(judged.tests) == set(task.repository.tests)
    assert len(judged.tests) >= 50
    assert grade(sandbox, judged, shipped.gold_snapshot(task)).resolved
    assert not grade(sandbox, judged, EMPTY).resolved


def test_an_expert_s_calls_resolve_a_task_when_made_again(
    shipped: TaskSet, built: list[SWETask], mined: list[SWETask], sandbox: Sandbox
) -> None:
    assert _resolved_by_expert(shipped, built[0], sandbox)
    assert _resolved_by_expert(shipped, mined[0], sandbox)


@pytest.mark.slow
@pytest.mark.timeout(7_200)
def test_every_verdict_is_the_same_twenty_times(shipped: TaskSet, sandbox: Sandbox) -> None:
    found = validate_tasks(shipped, times=20, jobs=2, sandbox=sandbox)
    assert [item for item in found if not item.sound] == []


@pytest.mark.slow
@pytest.mark.timeout(7_200)
def test_every_expert_resolves_its_task(
    shipped: TaskSet, tasks: list[SWETask], sandbox: Sandbox
) -> None:
    with ThreadPoolExecutor(2) as pool:
        resolved = pool.map(lambda task: _resolved_by_expert(shipped, task, sandbox), tasks)
        assert [task.id for task, good in zip(tasks, resolved, strict=True) if not good] == []


def _resolved_by_expert(shipped: TaskSet, task: SWETask, sandbox: Sandbox) -> bool:
    with open_workspace(sandbox, shipped.tree(task), task.repository) as session:
        bench = Workbench(session)
        for step in task.steps:
            bench.call(parse_call(step.action))
        left = session.snapshot()
    return bench.state.submitted and grade(sandbox, shipped.grading_task(task), left).resolved
