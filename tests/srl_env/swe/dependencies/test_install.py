"""Environments are downloaded as wheels, installed in a sandbox, and seen read-only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from srl_agents.cli.main import app
from srl_env.errors import BadOption, SandboxUnavailable
from srl_env.grading import GradingTask, OracleCase, grade
from srl_env.sandbox import LocalSandbox, Sandbox, Snapshot, open_sandbox
from srl_env.swe.dependencies.environment import Environment, MissingEnvironment
from srl_env.swe.dependencies.install import (
    CannotInstall,
    make_environment,
    restore_environment,
)
from srl_env.swe.task import Repository, SWETask
from srl_env.swe.task_folder import TaskSet, TaskWriter
from srl_env.swe.workspace import open_workspace
from tests.srl_env.swe.wheels import add_wheel


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with closing(open_sandbox()) as opened:
        yield opened


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels that pip looks into, and nowhere else; and an empty cache."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("SRL_ENV_CACHE", str(tmp_path / "cache"))
    return folder


def test_an_environment_has_what_the_requirements_need(index: Path, sandbox: Sandbox) -> None:
    add_wheel(index, "one", "1.0", "from two import VALUE", needs="two")
    add_wheel(index, "one", "2.0", "VALUE = 'too new'")
    add_wheel(index, "two", "3.1", "VALUE = 31", needs="pytest")
    add_wheel(index, "pytest", "1.0", "raise SystemExit('an old one')")
    made = make_environment(sandbox, ["one<2"], "shop")
    assert made == Environment(("one==1.0", "two==3.1"), "shop")
    assert Environment.from_json(made.to_json()) == made
    look = (
        "import one, importlib.metadata as m\n"
        "print(one.VALUE, m.version('two'), m.version('shop'))\n"
        "open(one.__file__, 'w')"
    )
    repository = Repository("shop", environment=made)
    with open_workspace(sandbox, index, repository) as session:
        done = session.run(["python3", "-c", look])
        tested = session.run(["python3", "-m", "pytest", "--version"])
    assert "31 3.1 0.0.0\n" in done.text()
    assert "Read-only file system" in done.text()
    assert tested.ok


def test_grading_uses_the_environment_and_its_compiled_files(
    index: Path, sandbox: Sandbox, tmp_path: Path
) -> None:
    add_wheel(index, "one", "1.0", "VALUE = 1")
    made = make_environment(sandbox, ["one"])
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/shop.py").write_text("from one import VALUE\n")
    (source,) = made.folder.glob("site-packages/one.py")
    source.write_text("VALUE = 2")  # its compiled file still says 1
    case = OracleCase("one", "import shop", "shop.VALUE", 1)
    task = GradingTask(tree=tmp_path / "tree", cases=(case,), mounts=made.mounts)
    assert grade(sandbox, task, Snapshot((), ())).resolved


def test_what_cannot_be_installed_is_one_line(index: Path, sandbox: Sandbox) -> None:
    add_wheel(index, "one", "1.0", "", needs="two==2")
    (index / "source-1.0.tar.gz").write_bytes(b"")
    refused = ("-r/etc/passwd", "a@file:///x", "file:///x", "x/../y")
    for requirement in ("one", "absent", "source", "one==3", *refused):
        with pytest.raises(CannotInstall) as caught:
            make_environment(sandbox, [requirement])
        assert "\n" not in str(caught.value)
    assert not list((index.parent / "cache").rglob("site-packages"))


@pytest.mark.parametrize("place", ["file://{}", "git+https://localhost:9{}"])
def test_nothing_of_a_package_is_built_here(
    index: Path, sandbox: Sandbox, tmp_path: Path, place: str
) -> None:
    evil = tmp_path / "evil"
    evil.mkdir()
    (evil / "setup.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    add_wheel(index, "one", "1.0", "", needs="evil @ " + place.format(evil))
    with pytest.raises(
        CannotInstall, match=r"start no other program|No permission to execute 'git'"
    ):
        make_environment(sandbox, ["one"])
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("package", "project"),
    [
        ("file:///evil", ""),
        ("git+file:///evil", ""),
        ("evil/../../evil==1", ""),
        ("-r/etc/passwd", ""),
        ("one", ""),
        ("one==1", "/outside/shop"),
        ("one==1", "../shop"),
        ("one==1", "shop\nName: other"),
    ],
)
def test_tasks_cannot_name_paths_or_urls(package: str, project: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        Environment.from_json({"packages": [package], "project": project})


def test_without_isolation_nothing_is_installed(index: Path) -> None:
    add_wheel(index, "one", "1.0", "")
    with closing(LocalSandbox()) as local, pytest.raises(SandboxUnavailable, match="isolation"):
        make_environment(local, ["one"])


def test_a_cache_that_cannot_be_written_is_one_line(
    index: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    (index.parent / "file").write_text("")
    monkeypatch.setenv("SRL_ENV_CACHE", str(index.parent / "file"))
    with pytest.raises(BadOption, match=r"cannot be written to .*: Not a directory\. Fix: set"):
        make_environment(sandbox, [], "shop")


def test_tasks_say_which_environment_they_need_and_install_makes_it(
    index: Path, sandbox: Sandbox, tmp_path: Path
) -> None:
    add_wheel(index, "one", "1.0", "VALUE = 1")
    add_wheel(index, "one", "1.1", "VALUE = 2")
    environment = Environment(("one==1.0",))
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/shop.py").write_text("import one\n")
    writer = TaskWriter(tmp_path / "tasks")
    repository = Repository("shop", environment=environment)
    writer.add_repository(repository, tmp_path / "shop")
    writer.add(SWETask("shop-1", repository, "Broken.", {"shop.py": ""}))
    tasks = TaskSet(tmp_path / "tasks")
    assert tasks.repository("shop") == repository
    with pytest.raises(MissingEnvironment, match=r"\(one==1\.0\)\. Fix: srl-env swe install") as e:
        open_workspace(sandbox, tasks.code(tasks.task("shop-1")), tasks.repository("shop"))
    assert "\n" not in str(e.value)
    done = CliRunner().invoke(app, ["swe", "install", str(tmp_path / "tasks")])
    assert done.exit_code == 0, done.output
    assert done.output.endswith("one==1.0\n")
    restore_environment(sandbox, environment)  # it is there
    assert environment.mounts[0].source.name == "site-packages"
