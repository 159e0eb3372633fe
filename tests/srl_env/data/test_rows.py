from __future__ import annotations

import json
import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from srl_env.data import BadRow, StepList, content_id, problem_from_row, row_from_problem
from srl_env.problem import ExpertStep, ExpertTrajectory, Problem

texts = st.text(min_size=1).filter(str.strip)
steps = st.builds(
    ExpertStep, texts, st.none() | st.text(), st.none() | st.text(), st.none() | st.text()
)
trajectories = st.builds(
    ExpertTrajectory, st.lists(steps, min_size=1, max_size=3).map(tuple), st.none() | st.text()
)
problems = st.builds(
    Problem,
    texts,
    texts,
    st.none() | st.text(),
    st.lists(trajectories, max_size=2).map(tuple),
    st.dictionaries(st.text(), st.integers() | st.text(), max_size=2),
)


@given(problems)
@settings(deadline=None)
def test_a_problem_survives_being_written_and_read(problem: Problem) -> None:
    assert problem_from_row(json.loads(json.dumps(row_from_problem(problem)))) == problem


def test_the_shortest_row_is_a_prompt() -> None:
    problem = problem_from_row({"prompt": "What is 2 + 3?"})
    assert problem == Problem(content_id("What is 2 + 3?"), "What is 2 + 3?")


def test_steps_are_texts_or_objects() -> None:
    row = {"prompt": "?", "steps": ["a = 1", {"action": "b = 2", "title": "Add"}], "answer": 2}
    [trajectory] = problem_from_row(row).trajectories
    assert trajectory.steps == (ExpertStep("a = 1"), ExpertStep("b = 2", title="Add"))
    assert problem_from_row(row).answer == "2"


def test_null_is_as_good_as_absent() -> None:
    row = {"prompt": "?", "id": None, "steps": None, "trajectories": [{"steps": ["a"]}]}
    assert problem_from_row(row).trajectories[0].actions == ("a",)


def test_an_id_made_of_the_prompt_is_the_same_everywhere() -> None:
    assert content_id("What is 2 + 3?") == "9103c01f569001bc"
    assert content_id("\ud800") != content_id("\ud801")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({}, r'no "prompt"; a row needs one\. None are known'),
        ({"promt": "?"}, 'unknown key "promt".*under "metadata".*Did you mean \'prompt\''),
        ({"prompt": " "}, '"prompt" is empty'),
        ({"prompt": 3}, '"prompt" is no text; got int 3'),
        ({"prompt": "?", "steps": []}, '"steps" is empty; a problem needs at least one expert'),
        (
            {"prompt": "?", "steps": "a"},
            "\"steps\" is not a list; expected one, or its text; got str 'a'",
        ),
        ({"prompt": "?", "steps": [1]}, "a step is neither text nor object; got int 1"),
        ({"prompt": "?", "steps": [" "]}, "a step has no action"),
        ({"prompt": "?", "steps": [{"title": "a"}]}, "a step has no action"),
        ({"prompt": "?", "steps": [{"action": 1}]}, 'a step\'s "action" is no text; got int 1'),
        ({"prompt": "?", "steps": [{"action": "a", "titel": "b"}]}, "Did you mean 'title'"),
        ({"prompt": "?", "steps": ["a"], "trajectories": []}, 'both "steps" and "trajectories"'),
        ({"prompt": "?", "trajectories": ["a"]}, "a trajectory is no object"),
        ({"prompt": "?", "trajectories": [{}]}, '"steps" is not a list; expected one, or'),
        ({"prompt": "?", "answer": ["4"]}, '"answer" is neither text nor number'),
        ({"prompt": "?", "answer": True}, '"answer" is neither text nor number'),
        ({"prompt": "?", "id": 1.5}, '"id" is no id; expected a text or an integer'),
        ({"prompt": "?", "metadata": [1]}, r'"metadata" is no object; got list \[1\]'),
    ],
)
def test_a_bad_row_says_what_was_found_and_what_was_expected(
    row: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadRow, match=message):
        problem_from_row(row)


def test_step_lists_may_stand_under_any_names() -> None:
    convert = StepList(prompt="question", steps="solution", answer="result")
    row = {"question": "?", "solution": ["a", "b"], "result": "4", "level": 3}
    problem = convert(row)
    assert problem.trajectories[0].actions == ("a", "b")
    assert (problem.prompt, problem.answer, problem.id) == ("?", "4", content_id("?"))
    with pytest.raises(BadRow, match=r"no \"question\".*Known: result"):
        convert({"result": "4"})
    assert pickle.loads(pickle.dumps(convert)) == convert
