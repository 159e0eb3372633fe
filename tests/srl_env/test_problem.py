"""Problems and trajectories refuse a wrong type in one line that says how to fix it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from srl_env.errors import BadOption
from srl_env.problem import ExpertStep, ExpertTrajectory, Problem

STEP = ExpertStep("2 + 2 = 4")
WAY = ExpertTrajectory((STEP,))
TEXT = "must be a text (str)"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"id": 3}, f"id of a Problem {TEXT}; got int 3. Fix: str(value), here '3'"),
        ({"prompt": None}, f"prompt of problem 'p' {TEXT}; got NoneType None. Fix: give the"),
        ({"prompt": b"?"}, f"prompt of problem 'p' {TEXT}; got bytes b'?'. Fix: "),
        ({"answer": 4}, f"answer of problem 'p' {TEXT} or None; got int 4. Fix: str(value)"),
        ({"answer": ["4"]}, f"answer of problem 'p' {TEXT} or None; got list ['4']. Fix: "),
        (
            {"trajectories": [WAY]},
            "trajectories of problem 'p' must be a tuple of ExpertTrajectory; got list [Expert",
        ),
        (
            {"trajectories": ([STEP],)},
            "trajectories of problem 'p' must be a tuple of ExpertTrajectory; item 0 is not one; "
            "got list [ExpertStep(",
        ),
        (
            {"trajectories": [[STEP]]},
            "trajectories of problem 'p' must be a tuple of ExpertTrajectory; got list [[Expert",
        ),
        ({"trajectories": np.zeros((9, 9))}, "must be a tuple of ExpertTrajectory; got ndarray "),
        ({"trajectories": WAY}, "must be a tuple of ExpertTrajectory; got ExpertTrajectory "),
        ({"trajectories": None}, "must be a tuple of ExpertTrajectory; got NoneType None. Fix: ("),
        ({"metadata": None}, "metadata of problem 'p' must be a mapping; got NoneType None. Fix: "),
        ({"metadata": [("a", 1)]}, "metadata of problem 'p' must be a mapping; got list [('a', 1"),
    ],
)
def test_a_problem_with_a_wrong_type_is_refused_in_one_line(
    given: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadOption) as error:
        Problem(**{"id": "p", "prompt": "2 + 2?", **given})
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([STEP], "must be a tuple of ExpertStep; got list [ExpertStep("),
        (["a"], "must be a tuple of ExpertStep; got list ['a']. Fix: (ExpertStep(text),)"),
        (("a",), "must be a tuple of ExpertStep; item 0 is not one; got str 'a'. Fix: ExpertStep("),
        ((STEP, None), "must be a tuple of ExpertStep; item 1 is not one; got NoneType None"),
        ("a", "must be a tuple of ExpertStep; got str 'a'. Fix: (ExpertStep(text),)"),
        (STEP, "must be a tuple of ExpertStep; got ExpertStep ExpertStep("),
        (None, "must be a tuple of ExpertStep; got NoneType None"),
        ((), "needs at least one step"),
    ],
)
def test_a_trajectory_with_wrong_steps_is_refused_in_one_line(steps: Any, message: str) -> None:
    with pytest.raises(BadOption) as error:
        ExpertTrajectory(steps)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["action", "title", "thought", "observation"])
def test_a_step_is_made_of_texts(name: str) -> None:
    with pytest.raises(BadOption, match=f"{name} of an ExpertStep must be a text .*; got int 4"):
        ExpertStep(**{"action": "a", name: 4})  # type: ignore[arg-type]


def test_lists_of_the_right_objects_say_how_to_make_tuples() -> None:
    with pytest.raises(BadOption, match=r"Fix: tuple\(list\)$"):
        ExpertTrajectory([STEP])  # type: ignore[arg-type]
