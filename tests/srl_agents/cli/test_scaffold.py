"""The packages that `srl-env init` writes work at once, and overwrite nothing."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from srl_agents.cli.scaffold import KINDS, write_package
from srl_env.check import Checker
from srl_env.check.checker import CHECKS
from srl_env.errors import BadOption, UnknownName
from srl_env.registration.names import environments_in

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("kind", KINDS)
def test_a_package_passes_its_own_tests(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "here"
    package = write_package(f"probe-{kind}", kind, folder)
    assert all(path.is_file() for path in package.files)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    # each check is a test on the two splits, beside two tests of the package's own
    assert f"{2 * len(CHECKS) + 2} passed" in done.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_a_package_brings_its_environment_without_being_installed(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    write_package(f"folder_{kind}", kind, tmp_path)
    found = environments_in(tmp_path)
    assert list(found) == [f"folder_{kind}/Folder{kind.capitalize()}-v0"]
    checker = Checker(str(tmp_path), hostile=50)
    assert checker.run("hostile text breaks nothing").passed
    assert checker.run("splits share no problem").mark == "ok"


def test_no_mark_of_a_template_is_left_and_the_entry_point_is_named(tmp_path: Path) -> None:
    for kind in KINDS:
        for path in write_package("marked", kind, tmp_path / kind).files:
            assert not re.search(r"__(PACKAGE|CLASS|ID)__|\.tmpl", f"{path}{path.read_text()}")
    project = tomllib.loads((tmp_path / "data/pyproject.toml").read_text())["project"]
    groups = project["entry-points"]["srl_env.environments"]
    assert groups == {"marked": "marked:ENVIRONMENTS"}


def test_existing_files_are_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(
        BadOption, match=r"README\.md must not exist, because nothing is overwritten"
    ):
        write_package("my_tasks", "data", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]
    assert (tmp_path / "README.md").read_text() == "mine"


@pytest.mark.parametrize("name", ["", "9x", "MyTasks", "my tasks", "a/b", "class", "../up", "é"])
def test_names_that_cannot_be_imported_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadOption, match="a package name must have lower-case letters"):
        write_package(name, "data", tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["json", "gymnasium", "srl_env", "srl-tasks"])
def test_names_of_modules_that_exist_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadOption, match="a package name must be new; got"):
        write_package(name, "data", tmp_path)


def test_a_kind_that_does_not_exist_is_suggested(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="Did you mean 'tools'"):
        write_package("my_tasks", "tool", tmp_path)


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadOption, match=r"cannot be written: .* Fix: another folder"):
        write_package("my_tasks", "data", tmp_path / "file" / "below")


def test_the_templates_are_part_of_the_wheel() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    assert "agents/srl_agents" in settings["targets"]["wheel"]["packages"]
    templates = ROOT / "agents/srl_agents/cli/scaffold/templates"
    assert len(list(templates.rglob("*.tmpl"))) == 8
