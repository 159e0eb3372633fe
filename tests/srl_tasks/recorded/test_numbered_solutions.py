"""Numbered solutions as an environment: titles as context, answers compared by math-verify."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from srl_env.errors import UnknownName
from srl_tasks.recorded.numbered_solutions import NumberedSolutionsEnv

ROW = {
    "question": "A coin is tossed twice. How likely are two heads?",
    "solution": r"$\boxed{\frac{1}{4}}$",
    "deepseek_attempt": (
        "1. **Outcomes** There are four equally likely ones.\n\n"
        r"2. **Favorable** One of them, so the answer is $\boxed{\frac14}$."
    ),
}


@pytest.fixture
def coins(tmp_path: Path) -> NumberedSolutionsEnv:
    path = tmp_path / "coins.jsonl"
    bad = {**ROW, "question": "And three?", "deepseek_attempt": "It is one eighth."}
    path.write_text(f"{json.dumps(ROW)}\n{json.dumps(bad)}\n", "utf-8")
    return NumberedSolutionsEnv(path, split="all", show_titles=True)


def test_steps_are_bodies_and_titles_are_context(coins: NumberedSolutionsEnv) -> None:
    observation, _ = coins.reset(seed=0)
    assert [(step.title, step.action) for step in coins.expert_steps] == [
        ("Outcomes", "There are four equally likely ones."),
        ("Favorable", r"One of them, so the answer is $\boxed{\frac14}$."),
    ]
    assert "Outcomes" in observation
    assert "Favorable" not in observation


def test_solutions_without_numbered_steps_are_dropped_and_reported(
    coins: NumberedSolutionsEnv,
) -> None:
    assert len(coins.problems) == 1
    report = str(coins.problems.report)  # type: ignore[attr-defined]
    assert "1 of 2 rows kept" in report
    assert "fewer than two numbered steps" in report


@pytest.mark.parametrize(
    ("answer", "correct"),
    [(r"\boxed{0.25}", True), (r"\boxed{\frac{1}{4}}", True), (r"\boxed{1/2}", False)],
)
def test_answers_are_compared_as_mathematics(
    coins: NumberedSolutionsEnv, answer: str, correct: bool
) -> None:
    coins.reset(seed=0, options={"reward_mode": "rlvr"})
    _, reward, terminated, _, info = coins.step(f"<think>a quarter</think>It is ${answer}$.")
    assert terminated
    assert (reward, info["verdict"]["correct"]) == (float(correct), correct)


def test_other_columns_can_be_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    row = {"task": ROW["question"], "steps": ROW["deepseek_attempt"], "final": "1/4"}
    path.write_text(json.dumps(row), "utf-8")
    columns = {"prompt": "task", "solution": "steps", "answer": "final"}
    env = NumberedSolutionsEnv(path, split="all", columns=columns)
    env.reset(seed=0)
    assert (env.problem.prompt, env.problem.answer) == (ROW["question"], "1/4")
    with pytest.raises(UnknownName, match=r"no column 'anwser'\. Did you mean 'answer'"):
        NumberedSolutionsEnv(path, columns={"anwser": "final"})
