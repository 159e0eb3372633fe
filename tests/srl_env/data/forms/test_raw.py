from __future__ import annotations

import pytest

from srl_env.data.forms.raw import RawSolution
from srl_env.data.forms.splitters import lines, sentences
from srl_env.data.rows import BadRow
from srl_env.errors import BadOption
from srl_env.problem import ExpertStep

ROW = {"question": " What? ", "solution": "One. Two.\nSo 3 it is: \\boxed{3}", "answer": 4}


def test_a_solution_is_split_and_the_answer_column_counts_before_what_is_boxed() -> None:
    problem = RawSolution(split=sentences)(ROW)
    assert (problem.prompt, problem.answer) == ("What?", "4")
    assert problem.trajectories[0].actions == ("One.", "Two.", "So 3 it is: \\boxed{3}")
    assert RawSolution(split=lines)({**ROW, "answer": None}).answer == "3"


def test_an_answer_after_the_mark_is_found() -> None:
    row = {"question": "?", "solution": "a\nb\n#### 7"}
    assert RawSolution(split=lines, answer="solution")(row).answer == "7"
    assert RawSolution(split=lines)({**row, "solution": "#### 7\nb"}).answer is None


def test_a_last_step_can_state_the_answer() -> None:
    convert = RawSolution(split=lines, answer_step="#### {answer}", join_below=5)
    problem = convert({"question": "?", "solution": "abcde\nf", "answer": "12"})
    assert problem.trajectories[0].steps == (ExpertStep("abcde\nf"), ExpertStep("#### 12"))
    with pytest.raises(BadRow, match="no answer for the last step"):
        convert({"question": "?", "solution": "a"})
    with pytest.raises(BadOption, match="must contain {answer}"):
        RawSolution(answer_step="#### ")


def test_a_splitter_of_ones_own_is_checked() -> None:
    row = {"question": "?", "solution": "a"}
    for steps, message in (([], "found no step"), ([None], "gave a step that is no text")):
        with pytest.raises(BadRow, match=message):
            RawSolution(split=lambda _, steps=steps: steps)(row)  # type: ignore[misc]
