"""GSM8K rows as an environment, in both modes."""

from __future__ import annotations

import ast
import inspect
import json
from pathlib import Path

import pytest

from srl_tasks.recorded.gsm8k import GSM8KEnv

ROW = {
    "question": "Pia has 3 bags of 8 plums and eats 5. How many plums are left?",
    "answer": "There are 3*8 = <<3*8=24>>24 plums.\nPia has 24-5 = <<24-5=19>>19 left.\n#### 19",
}


@pytest.fixture
def plums(tmp_path: Path) -> GSM8KEnv:
    path = tmp_path / "plums.jsonl"
    path.write_text(json.dumps(ROW) + "\n", "utf-8")
    return GSM8KEnv(path, split="all")


def test_each_line_of_the_solution_is_a_step_without_its_annotations(plums: GSM8KEnv) -> None:
    plums.reset(seed=0)
    assert [step.action for step in plums.expert_steps] == [
        "There are 3*8 = 24 plums.",
        "Pia has 24-5 = 19 left.",
        "#### 19",
    ]


def test_one_problem_is_paid_by_likeness_in_one_episode_and_by_outcome_in_the_next(
    plums: GSM8KEnv,
) -> None:
    plums.reset(seed=0, options={"reward_mode": "srl"})
    _, reward, terminated, *_ = plums.step("<think>3*8</think>There are 3*8 = 24 plums.")
    assert (reward, terminated) == (1.0, False)
    plums.reset(options={"reward_mode": "rlvr"})
    _, reward, terminated, *_ = plums.step("<think>3*8</think>There are 3*8 = 24 plums.")
    assert (reward, terminated) == (0.0, False)
    _, reward, terminated, _, info = plums.step("<think>24-5</think>#### 19.0")
    assert (reward, terminated, info["verdict"]["correct"]) == (1.0, True, True)


def test_the_prompt_says_how_the_answer_is_stated(plums: GSM8KEnv) -> None:
    _, info = plums.reset(seed=0)
    assert "a line with #### and the number" in info["messages"][0]["content"]
    assert ROW["question"] in info["messages"][1]["content"]


def test_the_class_is_short_enough_to_be_copied() -> None:
    source = inspect.getsource(GSM8KEnv)
    [tree] = ast.parse(source).body
    assert isinstance(tree, ast.ClassDef)
    manual = tree.body[0]
    assert manual.end_lineno is not None
    lines = source.splitlines()
    code = lines[: manual.lineno - 1] + lines[manual.end_lineno :]
    assert sum(bool(line.strip()) for line in code) <= 16
