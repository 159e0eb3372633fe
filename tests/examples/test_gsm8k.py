"""The GSM8K example: its format, its texts, and the whole of it in small."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from examples import gsm8k
from examples.gsm8k import Lines, solved_texts
from srl_env.problem import ExpertStep

SAMPLE = {"source": "sample"}


def test_a_step_is_a_line() -> None:
    step = ExpertStep("He has 3 + 4 = 7 apples.")
    assert Lines().render(step) == "He has 3 + 4 = 7 apples.\n"
    assert Lines().parse("He has 3 + 4 = 7 apples.\n").action == step.action


def test_an_empty_line_is_no_step() -> None:
    parsed = Lines().parse(" \n")
    assert not parsed.ok
    assert parsed.problem_found == "the line is empty"


def test_texts_are_what_the_model_is_shown_and_the_expert_writes() -> None:
    env = gsm8k._make(SAMPLE, "train")
    text = solved_texts(SAMPLE)[3]
    _, info = env.reset(options={"problem": 3, "reward_mode": "srl", "start_step": 1})
    shown = info["messages"][-1]["content"]
    assert text.startswith(shown)
    assert text == shown + "".join(f"{step.action}\n" for step in env.expert_steps[1:])


def test_held_out_problems_are_in_no_text() -> None:
    texts = "".join(solved_texts(SAMPLE))
    dev = gsm8k._make(SAMPLE, "dev").problems
    assert not any(dev[i].prompt in texts for i in range(len(dev)))


@pytest.mark.slow
def test_the_example_runs_on_the_sample(tmp_path: Path) -> None:
    settings = ["--out", str(tmp_path / "run"), "--pretrain-updates", "9", "--srl-updates", "2"]
    done = subprocess.run(
        [sys.executable, "examples/gsm8k.py", *settings, "--problems", "3"],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert "step similarity, sampled:" in done.stdout
    results = json.loads((tmp_path / "run/results.json").read_text())
    assert results["after"]["problem_ids"] == results["before"]["problem_ids"]
