"""Repositories whose packages have the names of what pytest needs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from srl_env.grading import GradingTask, Trust, grade
from srl_env.grading.task import own_modules
from srl_env.sandbox import NamespaceSandbox, Sandbox, Snapshot
from tests.srl_env.grading.conftest import FAULTY, FILE, GOLD, patch

NAMES = ("tomli", "packaging", "numpy", "iniconfig", "pluggy", "pygments", "attr", "exceptiongroup")
EMPTY = Snapshot((), ())


@pytest.fixture
def renamed(task: GradingTask, request: pytest.FixtureRequest) -> GradingTask:
    """The task with its package called otherwise."""
    name = request.param
    (task.tree / "shop").rename(task.tree / name)
    return replace(
        task,
        hidden={path: text.replace(b"shop", name.encode()) for path, text in task.hidden.items()},
        cases=tuple(replace(case, setup=case.setup.replace("shop", name)) for case in task.cases),
        controls=2,
    )


def change(task: GradingTask, source: str) -> Snapshot:
    (package,) = {path.parent.name for path in task.tree.glob("*/prices.py")}
    return patch({f"{package}/prices.py": source})


@pytest.mark.parametrize("trust", ["controlled", "oracle"])
@pytest.mark.parametrize("renamed", NAMES, indirect=True)
def test_a_package_with_the_name_of_a_dependency_of_pytest_can_be_fixed(
    sandbox: Sandbox, renamed: GradingTask, trust: Trust
) -> None:
    task = replace(renamed, trust=trust)
    right = grade(sandbox, task, change(task, GOLD))
    assert right.resolved, right
    assert not right.dropped
    assert not grade(sandbox, task, EMPTY).resolved


@pytest.mark.parametrize("renamed", ["packaging", "pluggy"], indirect=True)
def test_it_can_be_fixed_where_nothing_is_preloaded(sandbox: Sandbox, renamed: GradingTask) -> None:
    cold = NamespaceSandbox()
    assert grade(cold, renamed, change(renamed, GOLD)).resolved
    assert not grade(cold, renamed, EMPTY).resolved
    cold.close()


@pytest.mark.parametrize("name", ["pluggy", "packaging", "tomli"])
def test_a_change_cannot_bring_along_what_the_repository_does_not_provide(
    sandbox: Sandbox, task: GradingTask, name: str
) -> None:
    task = replace(task, trust="inprocess")
    forged = {f"{name}/__init__.py": "import os; os._exit(0)", "shop/prices.py": FAULTY}
    result = grade(sandbox, task, patch(forged))
    assert not result.resolved
    assert [item.reason for item in result.dropped] == [f"replaces the module {name}"]
    assert result.pass_to_pass[f"{FILE}::test_cents_are_read"]


def test_own_modules_are_the_packages_and_modules_of_the_path(tmp_path: Path) -> None:
    for path in (
        "src/packaging/__init__.py", "src/tomli.py", "src/json.py", "src/pytest.py",
        "src/__init__.py", "pygments/notes.txt", "scripts/run.py", "setup.py",
    ):  # fmt: skip
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("")
    assert own_modules(tmp_path, ("src",)) == {"packaging", "tomli"}
    assert own_modules(tmp_path, (".",)) == {"setup", "src"}
