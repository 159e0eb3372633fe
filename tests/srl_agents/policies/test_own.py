"""Your own policy, named on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import srl_env
from srl_agents.policies.named import read_spec
from srl_agents.policies.own import is_own
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadOption, UnknownName
from srl_env.policy import Sampling

CODE = """
from srl_env import Generation

class Says:
    def __init__(self, text="x"):
        self.text = text

    def generate(self, batch, sampling):
        return [Generation(self.text) for _ in batch]

class _Hidden(Says):
    pass

READY = Says("ready")

def needs(text):
    return Says(text)

def build(text="built"):
    return Says(text)

NOTHING = 3
"""


def own_policy(name: str, arguments: Any = None) -> Any:
    env = srl_env.make("srl/ModularChain-v0").unwrapped
    assert isinstance(env, ReasoningEnv)
    return read_spec(name).load(env, arguments=arguments)


def said(policy: Any) -> str:
    (made,) = policy.generate([[]], Sampling())
    return str(made.text)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "my_own_policy.py"
    path.write_text(CODE)
    return path


@pytest.mark.parametrize(
    ("chosen", "arguments", "text"),
    [
        ("", {}, "x"),
        ("", {"text": "y"}, "y"),
        (":Says", {}, "x"),
        (":READY", {}, "ready"),
        (":build", {"text": "z"}, "z"),
    ],
)
def test_a_file_brings_a_class_an_object_or_a_function(
    file: Path, chosen: str, arguments: dict[str, Any], text: str
) -> None:
    assert said(own_policy(f"{file}{chosen}", arguments)) == text


def test_a_module_brings_it_too(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    assert said(own_policy("my_own_policy:Says", {"text": "m"})) == "m"


@pytest.mark.parametrize(
    ("chosen", "arguments", "error", "message"),
    [
        (":Say", {}, UnknownName, "Did you mean 'Says'"),
        (":NOTHING", {}, BadOption, "policy must be an object with generate.*got a int"),
        (":READY", {"text": "y"}, BadOption, "is an object and takes no arguments; got text"),
        ("", {"txt": "y"}, UnknownName, "argument of Says 'txt'.*Did you mean 'text'"),
        (":needs", {}, BadOption, "missing a required argument: 'text'. Fix: .*--policy-kwargs"),
    ],
)
def test_what_is_not_a_policy_is_one_line(
    file: Path, chosen: str, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as raised:
        own_policy(f"{file}{chosen}", arguments)
    assert "\n" not in str(raised.value)


def test_a_file_with_several_policies_asks_for_one(file: Path) -> None:
    both = file.with_name("two_policies_here.py")
    both.write_text(CODE + "\nclass More(Says):\n    pass\n")
    with pytest.raises(BadOption, match=r"got several: Says, More. Fix: choose one, as .*:Says"):
        own_policy(str(both))
    empty = file.with_name("no_policy_here.py")
    empty.write_text("x = 1")
    with pytest.raises(BadOption, match="got none. Fix: define a class with generate"):
        own_policy(str(empty))


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("a.py", True), ("a/b.py:C", True), ("pkg.mod:Class", True), ("expert", False),
        ("openai/model", False), ("runs/x", False), ("hf:name", False), ("org/name:tag", False),
    ],
)  # fmt: skip
def test_names_of_own_policies_are_told_from_others(name: str, own: bool) -> None:
    assert is_own(name) is own
