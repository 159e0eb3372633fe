"""Names of environments: ids, files of problems, files of code, folders of packages."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import pytest

import srl_env
from srl_env.errors import BadOption, UnknownName
from srl_env.registration.names import environments_in, locate

ROW = '{"prompt": "2 + 3?", "steps": ["2 + 3 = 5"], "answer": "5"}\n'
CODE = """
from srl_env.testing import CountingEnv

class OneEnv(CountingEnv):
    "Counts."
"""


@pytest.fixture(autouse=True)
def _path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes back what a test adds to the module path."""
    monkeypatch.setattr(sys, "path", list(sys.path))


def file(folder: Path, name: str, text: str = CODE) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_an_id_is_left_as_it_is() -> None:
    assert locate("srl/GSM8K-v0") == ("srl/GSM8K-v0", {})
    assert locate("srl_env:srl/GSM8K-v0") == ("srl_env:srl/GSM8K-v0", {})


@pytest.mark.parametrize("prefix", ["steps:", ""])
def test_a_file_of_problems_is_an_environment(prefix: str, tmp_path: Path) -> None:
    path = file(tmp_path, "p.jsonl", ROW)
    env = srl_env.make(f"{prefix}{path}", split="all", reward_mode="rlvr")
    assert (repr(env.unwrapped), len(env.unwrapped.problems)) == ("StepsEnv('p')", 1)


def test_a_file_of_code_is_its_environment(tmp_path: Path) -> None:
    path = file(tmp_path, "loc_one.py")
    env = srl_env.make(str(path), max_steps=3)
    assert type(env).__name__ == "OneEnv"
    assert env.spec is not None
    assert env.spec.id == "loc_one/OneEnv"
    assert type(srl_env.make(str(path))) is type(env)  # loaded once
    env.reset(seed=1)
    assert pickle.loads(pickle.dumps(env.unwrapped)).problem.id == env.unwrapped.problem.id


def test_of_several_classes_one_is_named(tmp_path: Path) -> None:
    path = file(tmp_path, "loc_two.py", f"{CODE}\nclass TwoEnv(OneEnv):\n    pass\n")
    assert type(srl_env.make(f"{path}:TwoEnv")).__name__ == "TwoEnv"
    with pytest.raises(BadOption, match=r"defines several: OneEnv, TwoEnv; choose one, as .*:One"):
        srl_env.make(str(path))
    with pytest.raises(UnknownName, match="Did you mean 'TwoEnv'"):
        srl_env.make(f"{path}:TwEnv")


def test_a_file_of_a_package_is_imported_as_part_of_it(tmp_path: Path) -> None:
    file(tmp_path, "loc_pack/__init__.py", "")
    file(tmp_path, "loc_pack/base.py")
    path = file(
        tmp_path, "loc_pack/env.py", "from .base import OneEnv\nclass E(OneEnv):\n    pass\n"
    )
    assert type(srl_env.make(str(path))).__module__ == "loc_pack.env"


def test_a_file_named_as_another_module_is_loaded_all_the_same(tmp_path: Path) -> None:
    path = file(tmp_path, "json.py")
    assert type(srl_env.make(str(path))).__module__.startswith("json_")
    assert type(srl_env.make(str(path))) is type(srl_env.make(str(path)))


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("x = 1\n", "defines no class derived from srl_env.ReasoningEnv"),
        ("x = 1\ny = 1 / 0\n", r"\.py:2: importing the file raised ZeroDivisionError"),
        ("x = (\n", r"\.py:1: importing the file raised SyntaxError"),
        ("import no_such_thing\n", r"\.py:1: .*No module named 'no_such_thing'"),
    ],
)
def test_a_file_without_an_environment_says_why(code: str, message: str, tmp_path: Path) -> None:
    name = f"loc_bad_{abs(hash(code))}.py"
    with pytest.raises(BadOption, match=message):
        srl_env.make(str(file(tmp_path, name, code)))


def test_a_folder_is_the_environments_of_its_package(tmp_path: Path) -> None:
    file(tmp_path, "loc_proj/__init__.py", 'TABLE = {"loc/One-v0": "loc_proj.env:OneEnv"}\n')
    file(tmp_path, "loc_proj/env.py")
    project = '[project.entry-points."srl_env.environments"]\nx = "loc_proj:TABLE"\n'
    file(tmp_path, "pyproject.toml", project)
    assert list(environments_in(tmp_path)) == ["loc/One-v0"]
    assert type(srl_env.make(str(tmp_path))).__name__ == "OneEnv"


@pytest.mark.parametrize(
    ("project", "message"),
    [
        (None, "has no readable pyproject.toml"),
        ("[project]\nname = 'x'\n", "names no environments; it needs a table"),
        ("[project", "pyproject.toml: "),
        (
            '[project.entry-points."srl_env.environments"]\nx = "loc_none:TABLE"\n',
            "'loc_none:TABLE' cannot be loaded: ModuleNotFoundError",
        ),
        (
            '[project.entry-points."srl_env.environments"]\nx = "json:loads"\n',
            "'json:loads' must be a table of ids; got a function",
        ),
    ],
)
def test_a_folder_without_environments_says_why(
    project: str | None, message: str, tmp_path: Path
) -> None:
    if project is not None:
        file(tmp_path, "pyproject.toml", project)
    with pytest.raises(BadOption, match=message):
        srl_env.make(str(tmp_path))
