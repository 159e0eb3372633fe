from __future__ import annotations

from pathlib import Path

import pytest

from srl_env.data import BadRow, JsonlSource, gsm8k_problem
from srl_env.problem import start_steps
from srl_env.verifiers import NumericVerifier

ROW = {
    "question": "Natalia sold 48 clips in April and half as many in May. How many altogether? ",
    "answer": "In May she sold 48/2 = <<48/2=24>>24 clips.\r\n\n"
    "Altogether 48+24 = <<48+24=72>>72.\n#### 72",
}


def test_each_line_is_a_step_and_the_last_step_states_the_answer() -> None:
    problem = gsm8k_problem(ROW)
    assert problem.prompt.endswith("How many altogether?")
    assert problem.answer == "72"
    assert problem.trajectories[0].actions == (
        "In May she sold 48/2 = 24 clips.",
        "Altogether 48+24 = 72.",
        "#### 72",
    )
    assert NumericVerifier().verify(problem, problem.trajectories[0].actions).correct


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("It is 72.", 'no "####" in "answer"'),
        ("#### 72", 'nothing before "####"'),
        ("<<1+1=2>>\n#### 2", 'nothing before "####"'),
        ("a line\n#### many", "no number after \"####\"; got 'many'; the last line is the number"),
        ("a line\n#### 72\nand more", 'no number after "####"'),
        ("#### 1\n#### 2", 'more than one "####"'),
        ("", '"answer" is empty'),
    ],
)
def test_a_solution_in_another_form_is_a_bad_row(answer: str, message: str) -> None:
    with pytest.raises(BadRow, match=message):
        gsm8k_problem({"question": "?", "answer": answer})


def test_the_real_rows_are_read_and_the_experts_are_right(shared_data: Path) -> None:
    source = JsonlSource(shared_data / "gsm8k" / "train.jsonl", gsm8k_problem, on_bad_row="drop")
    assert (len(source), source.report and source.report.total_dropped) == (7473, 0)
    for index in range(0, len(source), 50):
        problem = source[index]
        actions = problem.trajectories[0].actions
        assert NumericVerifier().verify(problem, actions).correct
        assert not any("<<" in action or not action.strip() for action in actions)
        assert len(start_steps(problem)) == len(actions) - 1
