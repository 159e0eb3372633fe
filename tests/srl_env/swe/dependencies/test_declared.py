"""What projects declare, in each of the forms."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from srl_env.swe.dependencies.declared import Declared, read_declared, takes_python


def declared(folder: Path, imported: set[str], **files: str) -> Declared:
    """What a project of these files declares; "_" in their names is "."."""
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_", ".", 1)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return read_declared(folder, imported)


def test_pyproject_of_pep_621(tmp_path: Path) -> None:
    text = """
        [project]
        name = "Shop"
        requires-python = ">=3.9"
        dependencies = ["Requests[socks] >= 2.0", "tomli; python_version < '3.0'"]
        optional-dependencies.test = ["shop[extra]", "freezegun", "pytest>=8", "coverage"]
        optional-dependencies.docs = ["sphinx"]
        [dependency-groups]
        dev = [{include-group = "more"}]
        more = ["python-dateutil"]
    """
    found = declared(tmp_path, {"freezegun", "sphinx", "dateutil"}, pyproject_toml=text)
    assert found.name == "Shop"
    assert found.python == ">=3.9"
    assert found.requirements == ("freezegun", "python-dateutil", "requests[socks]>=2.0")


def test_poetry_with_its_own_versions(tmp_path: Path) -> None:
    text = """
        [tool.poetry]
        name = "shop"
        [tool.poetry.dependencies]
        python = "^3.7"
        one = "^1.2.3"
        two = "~2.1"
        three = "3.0"
        four = {version = "*", optional = true}
        five = {version = ">=1, <2", python = "<3.0"}
        six = {git = "https://example.com/six"}
        zero = "^0.2.3"
        any = "^1 || ^2"
        [tool.poetry.group.dev.dependencies]
        mock = "^5"
        black = "^22"
    """
    found = declared(tmp_path, {"mock"}, pyproject_toml=text)
    assert found.python == ">=3.7,<4"
    assert found.requirements == (
        "any", "mock<6,>=5", "one<2,>=1.2.3", "three==3.0", "two<2.2,>=2.1", "zero<0.3,>=0.2.3",
    )  # fmt: skip
    assert found.refused == ("six @ https://example.com/six",)


def test_setup_py_is_read_and_not_run(tmp_path: Path) -> None:
    text = """
from setuptools import setup
open("ran", "w")
NEEDS = ["one>=1"]
TESTS = ["two", "nose"]
setup(name="shop", python_requires=">=3.6", install_requires=NEEDS + ["three"],
      tests_require=TESTS, extras_require={"dev": TESTS + ["four"], "docs": ["sphinx"]},
      version=open("VERSION").read(), use_scm_version={"write_to": "shop/_version.py"})
"""
    found = declared(tmp_path, {"two", "four", "sphinx"}, setup_py=text)
    assert found == Declared(
        "shop", ">=3.6", ("four", "one>=1", "three", "two"), (), ("shop/_version.py",)
    )
    assert not (tmp_path / "ran").exists()


def test_setup_cfg_tox_and_requirement_files(tmp_path: Path) -> None:
    (tmp_path / "setup.cfg").write_text(
        "[metadata]\nname = shop\n[options]\ninstall_requires =\n    one>=1\n    two\n"
        "[options.extras_require]\ntesting =\n    mock\n"
    )
    (tmp_path / "tox.ini").write_text(
        "[testenv]\ndeps =\n  py39: backports\n  -r{toxinidir}/requirements/test.txt\n  nose\n"
    )
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements/test.txt").write_text(
        "# all\n--index-url https://example.com\n-r base.txt\nyaml-tool\n-e .\nPyYAML==6.0 # here\n"
    )
    (tmp_path / "requirements/base.txt").write_text("two==2.0\nsix \\\n  >=1\n")
    found = read_declared(tmp_path, {"mock", "yaml", "six", "backports"})
    assert found.requirements == ("backports", "mock", "one>=1", "pyyaml==6.0", "six>=1", "two")


def test_an_escape_from_the_project_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "p").mkdir()
    (tmp_path / "p/requirements.txt").write_text("-r ../secret.txt\n-r /etc/passwd\n")
    assert read_declared(tmp_path / "p", {"secret"}) == Declared()


def test_setuptools_is_there_for_code_that_imports_it(tmp_path: Path) -> None:
    assert read_declared(tmp_path, {"pkg_resources"}).requirements == ("setuptools<81",)


@pytest.mark.parametrize(
    "files",
    [
        {"pyproject.toml": "= no toml"},
        {"pyproject.toml": "project = 1\ntool = []\ndependency-groups = {test = 1}"},
        {"pyproject.toml": "[project]\ndependencies = 'text'\noptional-dependencies = 3"},
        {"setup.py": "def ("},
        {"setup.py": "setup(install_requires=read(), name=1, extras_require={**x})"},
        {"setup.cfg": "no section"},
        {"requirements.txt": "\x00 =="},
    ],
)
def test_files_that_cannot_be_read_declare_nothing(tmp_path: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert read_declared(tmp_path, {"a"}).requirements == ()


def test_files_made_to_take_forever_are_read_at_once(tmp_path: Path) -> None:
    included = ", ".join(30 * ['{include-group = "test%d"}'])
    groups = "\n".join(f"test{i} = [{included}]" % (30 * (i + 1,)) for i in range(8))
    poetry = f"a = '^{'9' * 5000}'\nb = '{30_000 * ', '}'\nc = {{version = '1', markers = "
    poetry += f"'{3000 * '('}'}}"
    files = {
        "pyproject.toml": f"[dependency-groups]\n{groups}\n[tool.poetry.dependencies]\n{poetry}",
        "requirements.txt": 200 * "-r requirements.txt\n-r ./x/../requirements.txt\n" + "d\n",
        "setup.py": "n = ['e']\n" + 40 * "n = n + n\n" + "setup(install_requires=n)",
    }
    names = declared(tmp_path, {"d"}, **files).requirements
    assert names == ("a", "b", "d", "e")


@pytest.mark.parametrize("name", ["/tmp/outside", "../up", "a\\nName: b", "a b", ""])
def test_a_name_that_is_no_distribution_is_not_taken(tmp_path: Path, name: str) -> None:
    assert not declared(tmp_path, set(), **{"pyproject.toml": f'project.name = "{name}"'}).name


def test_versions_of_python() -> None:
    major, minor = sys.version_info[:2]
    assert takes_python(f">={major}.{minor}")
    assert takes_python("")
    assert takes_python("nonsense")
    assert not takes_python(f">={major}.{minor + 1}")
    assert not takes_python("<3")
