"""The tasks that ship: what a user gets without building any."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from srl_env.grading import grade, warm_judges
from srl_env.sandbox import Sandbox, Snapshot, open_sandbox
from srl_env.swe import validate_tasks
from srl_env.swe.task import CASES_FILE, SPLITS, SWETask
from srl_env.swe.task_folder import TaskSet, code_files
from srl_env.swe.tools import Workbench
from srl_env.swe.workspace import open_workspace
from srl_env.text.tool_calls import parse_call
from srl_tasks.swe.problems import SHIPPED

EMPTY = Snapshot((), ())
MOST_BYTES = 3 << 20
REPOSITORIES = ("formulate", "gridfile", "pagemill", "roomdiary", "taskweave", "tillbook")


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TaskSet]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SRL_ENV_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield TaskSet(SHIPPED)


@pytest.fixture(scope="module")
def tasks(shipped: TaskSet) -> list[SWETask]:
    return list(shipped)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    made = open_sandbox(preload=warm_judges())
    yield made
    made.close()


def test_there_are_many_tasks_from_repositories_in_different_areas(
    shipped: TaskSet, tasks: list[SWETask]
) -> None:
    assert shipped.repositories == REPOSITORIES
    assert len(tasks) >= 120
    assert min(Counter(task.repository.name for task in tasks).values()) >= 15
    assert len(set(shipped.ids)) == len(tasks)


def test_what_ships_is_small() -> None:
    files = [path for path in SHIPPED.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert sum(path.stat().st_size for path in files) < MOST_BYTES


def test_every_task_is_decided_by_calls_and_by_tests(tasks: list[SWETask]) -> None:
    for task in tasks:
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


def test_no_function_has_bugs_in_two_splits(tasks: list[SWETask]) -> None:
    splits: dict[tuple[str, str], set[str]] = {}
    for task in tasks:
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
        assert task.statement.count("```") >= 6 * len(task.metadata["kinds"])
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
        assert 5 <= len(calls) <= 40
        assert all(step.thought and step.observation for step in task.steps)


def test_no_expert_step_ends_in_an_error_of_the_tools(tasks: list[SWETask]) -> None:
    for task in tasks:
        for step in task.steps:
            assert not (step.observation or "").startswith(("Invalid", "No ", "The text"))


@pytest.mark.parametrize("name", REPOSITORIES)
def test_a_repository_passes_its_own_tests_and_not_with_a_bug(
    shipped: TaskSet, tasks: list[SWETask], sandbox: Sandbox, name: str
) -> None:
    task = next(task for task in tasks if task.repository.name == name)
    judged = shipped.grading_task(task)
    assert set(judged.tests) == set(task.repository.tests)
    assert len(judged.tests) >= 50
    assert grade(sandbox, judged, shipped.gold_snapshot(task)).resolved
    assert not grade(sandbox, judged, EMPTY).resolved


def test_an_expert_s_calls_resolve_a_task_when_made_again(
    shipped: TaskSet, tasks: list[SWETask], sandbox: Sandbox
) -> None:
    assert _resolved_by_expert(shipped, tasks[0], sandbox)


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
