"""A tiny set of tasks: one repository with one bug, made as a build would make it."""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from srl_env.grading import OracleCase
from srl_env.problem import ExpertStep
from srl_env.sandbox import open_sandbox
from srl_env.swe.task import Repository, SWETask
from srl_env.swe.task_folder import TaskSet, TaskWriter
from srl_env.swe.tools import Workbench
from srl_env.swe.workspace import open_workspace
from srl_env.text.tool_calls import EDITOR, Argument, ToolCall

FILES = {
    "shop/__init__.py": "",
    "shop/prices.py": "def total(prices, off=0.0):\n    return sum(prices) * (1 - off)\n",
    "shop/text.py": "def shout(text):\n    return text.upper()\n",
    "tests/test_prices.py": (
        "from shop.prices import total\n\n\n"
        "def test_a_discount_is_taken_off():\n    assert total([10, 20], 0.5) == 15.0\n\n\n"
        "def test_no_discount():\n    assert total([1, 2]) == 3\n"
    ),
    "tests/test_text.py": (
        "from shop.text import shout\n\n\ndef test_shout():\n    assert shout('a') == 'A'\n"
    ),
    "oracle_cases.toml": "# never shown",
}
FAULTY = FILES["shop/prices.py"].replace("(1 - off)", "(1 + off)")
CASES = (
    OracleCase("half off", "from shop.prices import total", "total([10, 20], 0.5)", 15.0),
    OracleCase("nothing off", "from shop.prices import total", "total([1, 2])", 3.0),
)
SHOW = 'python -c "from shop.prices import total; print(total([10, 20], 0.5))"'
EXPERT: tuple[tuple[str, dict[str, Argument]], ...] = (
    ("bash", {"command": SHOW}),
    (EDITOR, {"command": "view", "path": "shop/prices.py"}),
    (
        EDITOR,
        {
            "command": "str_replace",
            "path": "shop/prices.py",
            "old_str": "1 + off",
            "new_str": "1 - off",
        },
    ),
    ("bash", {"command": "python -m pytest -qq"}),
    ("submit", {}),
)


TESTS = (
    "tests/test_prices.py::test_a_discount_is_taken_off",
    "tests/test_prices.py::test_no_discount",
    "tests/test_text.py::test_shout",
)


@pytest.fixture(scope="session")
def tiny_tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a task set with one task in each split."""
    folder = tmp_path_factory.mktemp("tasks") / "tiny"
    patch = pytest.MonkeyPatch()
    patch.setenv("SRL_ENV_CACHE", str(tmp_path_factory.mktemp("cache")))
    repository = Repository("shop", TESTS, CASES)
    writer = _writer(folder, repository, tmp_path_factory.mktemp("code"), FILES)
    for split in ("train", "dev", "test"):
        writer.add(_with_expert(_task(repository, split), folder))
    patch.undo()
    return folder


@pytest.fixture(scope="session")
def source_tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a task set whose package lies in src; without an expert."""
    folder = tmp_path_factory.mktemp("tasks") / "source"
    repository = Repository("shop", TESTS, CASES, python_path=("src",))
    files = {re.sub("^shop/", "src/shop/", name): text for name, text in FILES.items()}
    writer = _writer(folder, repository, tmp_path_factory.mktemp("code"), files)
    writer.add(_task(repository, "train", "src/shop/prices.py"))
    return folder


def _writer(folder: Path, repository: Repository, code: Path, files: dict[str, str]) -> TaskWriter:
    for name, text in files.items():
        (code / name).parent.mkdir(exist_ok=True, parents=True)
        (code / name).write_text(text)
    writer = TaskWriter(folder, folder.name)
    writer.add_repository(repository, code)
    return writer


def _task(repository: Repository, split: str, faulty: str = "shop/prices.py") -> SWETask:
    return SWETask(
        id=f"shop-{split}",
        repository=repository,
        statement="A discount of half makes an order dearer: 45.0 instead of 15.0.",
        change={faulty: FAULTY},
        fail_to_pass=repository.tests[:1],
        hidden=("tests/test_prices.py",),
        split=split,
    )


def _with_expert(task: SWETask, folder: Path) -> SWETask:
    calls = [ToolCall(tool, arguments) for tool, arguments in EXPERT]
    tree = TaskSet(folder).tree(task)
    with (
        closing(open_sandbox()) as sandbox,
        open_workspace(sandbox, tree, task.repository) as session,
    ):
        bench = Workbench(session)
        seen = [(call.render(), bench.call(call)) for call in calls]
    steps = (ExpertStep(call, thought="next", observation=answer) for call, answer in seen)
    return replace(task, steps=tuple(steps))
