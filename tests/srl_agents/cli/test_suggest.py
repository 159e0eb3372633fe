"""``srl-env suggest``: what it prints, and mistakes in one line."""

from __future__ import annotations

import shlex

import pytest
from typer.testing import CliRunner

from srl_agents.cli.main import app

HIDDEN = '{"difficulty": 2, "hide_thoughts": true, "max_problems": 20}'
FEW = ["-n", "2", "-r", "2"]


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["suggest", *words])
    return result.exit_code, result.output


def test_it_prints_the_data_the_probe_the_method_and_the_scope_of_its_evidence() -> None:
    code, output = run("srl/ModularChain-v0", "-m", "expert", "--kwargs", HIDDEN, *FEW)
    assert code == 0, output
    assert "demonstrations: 20, 0% of them with thoughts" in output
    assert "correct: 100.0% of 2 × 2 rollouts" in output
    assert "Suggested method: rlvr" in output
    assert "no comparison here has measured this case" in output


def test_the_command_that_it_prints_is_one_that_the_shell_reads() -> None:
    _, output = run("srl/ModularChain-v0", "-m", "random", "--kwargs", HIDDEN, *FEW)
    (line,) = [line for line in output.splitlines() if "srl-env train" in line]
    words = shlex.split(line)
    assert words[:5] == ["srl-env", "train", "-e", "srl/ModularChain-v0", "-m"]
    assert words[5] == "MODEL"  # "random" cannot be trained
    assert words[-2:] == ["--set", "budget.updates=200"]  # a training without a budget is refused
    assert "Scope: " in output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["srl/ModularChain-v1", "-m", "expert"], "Did you mean"),
        (["srl/ModularChain-v0", "-m", "expret"], "Did you mean"),
        (["srl/ModularChain-v0", "-m", "./nowhere"], "no folder './nowhere'"),
        (["srl/ModularChain-v0", "-m", "expert", "--kwargs", "[]"], "must be a JSON object"),
        (["srl/ModularChain-v0", "-m", "expert", "--kwargs", '{"split": "dev"}'], "--split"),
        (["srl/ModularChain-v0", "-m", "expert", "-n", "0"], "problems"),
        (["srl/ModularChain-v0", "-m", "expert", "--rows", "nowhere"], "which has none"),
        (["steps:missing.jsonl", "-m", "expert"], "missing.jsonl"),
    ],
)
def test_a_mistake_is_one_line(words: list[str], said: str) -> None:
    code, output = run(*words)
    assert code == 2
    assert len(output.strip().splitlines()) == 1
    assert said in output
