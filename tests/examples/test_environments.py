"""The example environments keep every promise, run as scripts, and are found by their files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import srl_env
from srl_env.check import Checker

ROOT = Path(__file__).parents[2]
EXAMPLES = ("data", "generated", "tool")


def file(name: str) -> Path:
    return ROOT / f"examples/{name}_environment.py"


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_keeps_every_promise(name: str) -> None:
    report = srl_env.check_env(str(file(name)), problems=5, hostile=300)
    assert report.passed


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_runs_as_a_script(name: str) -> None:
    command = [sys.executable, "-W", "error", str(file(name))]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "ok   nothing leaks" in done.stdout


def test_another_right_order_is_legal_and_right_in_the_generated_one() -> None:
    env = srl_env.make(str(file("generated"))).unwrapped
    env.reset(options={"problem": 0, "reward_mode": "rlvr"})
    left = sorted(env.problem.metadata["numbers"])
    legal = []
    while len(left) > 1:
        a, b = left.pop(0), left.pop(0)
        legal.append(env.step(f"<think></think>{a} + {b} = {a + b}")[4]["legal"])
        left.append(a + b)
    assert legal == [True] * 3
    assert env.step(f"<think></think>#### {left[0]}")[1] == 1.0
    assert not env.legal(env.problem, [], "1 + 1 = 2")


def test_the_splits_of_the_generated_and_the_tool_one_share_nothing() -> None:
    for name in ("generated", "tool"):
        assert Checker(str(file(name))).run("splits share no problem").mark == "ok"


def test_the_shop_remembers_and_forgets_between_episodes() -> None:
    env = srl_env.make(str(file("tool"))).unwrapped
    for _ in range(2):
        env.reset(options={"problem": "apple-bread", "reward_mode": "rlvr"})
        env.step("<think></think>put 4 apple")
        assert env.history[-1].observation == "basket: {'apple': 4}"
