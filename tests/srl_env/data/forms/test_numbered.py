from __future__ import annotations

import pickle
import time

import pytest

from srl_env.data import BadRow, Numbered, numbered_steps
from srl_env.problem import ExpertStep

ATTEMPT = r"""To solve this, we look at the pairs.

1. **Coprime Pairs**: Count the pairs
   that are coprime.

   - there are \(6\)

2. **Sum:**
They sum to $6 \cdot 2$.

10. not a heading, as it is not bold

3. **Conclusion**
Therefore it is 12.

**Final Answer**
\boxed{12}
"""
ROW = {"question": " How many? ", "solution": "12", "deepseek_attempt": ATTEMPT, "cot_type": "math"}


def test_titles_and_bodies_become_steps_and_the_final_answer_is_in_the_last() -> None:
    steps = numbered_steps(ATTEMPT)
    assert [step.title for step in steps] == ["Coprime Pairs", "Sum", "Conclusion"]
    assert steps[0].action.startswith("Count the pairs\n   that are coprime.")
    assert steps[1].action == ("They sum to $6 \\cdot 2$.\n\n10. not a heading, as it is not bold")
    assert steps[2].action.endswith("\\boxed{12}")


@pytest.mark.parametrize(
    "solution",
    [
        "1. **A** x\n2. **B** y",
        "1) **A:** x\n2) **B:** y",
        "### 1. **A**\nx\n### 2. **B**\ny",
        "**1. A** x\n**2. B** y",
        "**Step 1: A**\nx\n**Step 2: B**\ny",
        "### Step 1: A\nx\n### Step 2: B\ny",
        "## 1. A\nx\n## 2. B\ny",
        "1. **A**: x\r\n2. **B**: y\r\n",
    ],
)
def test_headings_are_read_the_ways_they_are_written(solution: str) -> None:
    assert numbered_steps(solution) == (ExpertStep("x", title="A"), ExpertStep("y", title="B"))


@pytest.mark.parametrize(
    "solution",
    [
        "1. x = 1\n2. y = 2",
        "1) x = 1\n2) y = 2",
        "Step 1: x = 1\nStep 2: y = 2",
        "- x = 1\n- y = 2",
        "* x = 1\n* y = 2",
        "We solve it:\n\n1. x = 1\n\n2. y = 2\n",
        "  1. x = 1\r\n  2. y = 2\r\n",
    ],
)
def test_items_of_a_plain_list_are_steps_without_their_numbers(solution: str) -> None:
    assert numbered_steps(solution) == (ExpertStep("x = 1"), ExpertStep("y = 2"))


def test_what_follows_a_plain_list_is_part_of_its_last_step() -> None:
    steps = numbered_steps("1. a = 1\n   - inner\n2. b = 2\n\nAnswer: 2")
    assert [step.action for step in steps] == ["a = 1\n   - inner", "b = 2\n\nAnswer: 2"]


def test_a_list_within_a_step_is_part_of_it() -> None:
    steps = numbered_steps("1. **A**\n   1. **inner** i\n   2. **inner** j\n2. **B** y")
    assert [step.title for step in steps] == ["A", "B"]


@pytest.mark.parametrize(
    ("solution", "message"),
    [
        ("No steps at all.", "fewer than two numbered steps"),
        ("1. **Only** one", "fewer than two numbered steps"),
        ("a" * 201 + "\n1. plain\n2. list", "fewer than two numbered steps"),
        ("1. a\n3. b", r"not numbered 1, 2, 3, …; got \[1, 3\]"),
        ("1. **A** x\n3. **B** y", r"not numbered 1, 2, 3, …; got \[1, 3\]"),
        ("2. **A** x\n3. **B** y", r"not numbered 1, 2, 3, …; got \[2, 3\]"),
        ("1. **A** x\n2. **B** y\n1. **C** z", r"got \[1, 2, 1\]"),
        ("1. **A**\n2. **B** y", r"a step without title or body; step '1\. \*\*A\*\*'"),
        ("1. ** ** x\n2. **B** y", "a step without title or body"),
    ],
)
def test_a_solution_in_another_form_is_a_bad_row(solution: str, message: str) -> None:
    with pytest.raises(BadRow, match=message):
        numbered_steps(solution)


def test_a_row_becomes_a_problem_with_the_columns_of_s1k() -> None:
    problem = Numbered()(ROW)
    assert (problem.prompt, problem.answer) == ("How many?", "12")
    assert len(problem.trajectories[0].steps) == 3
    assert pickle.loads(pickle.dumps(Numbered())) == Numbered()


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        (r"So it is \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        ("128", "128"),
        ("Let x be it.\n\nThen x + 1 = 43, so the answer is $42$.", "42"),
        ("Let x.\nSo it is \\fbox{42}.", "42"),
        ("Let x.\nSo $\\boxed 42$.", "42"),
        ("Sum.\nThe total is: 42.", "42"),
        (None, "12"),
    ],
)
def test_the_answer_is_the_references_or_else_the_boxed_one(
    reference: str | None, answer: str
) -> None:
    assert Numbered()({**ROW, "solution": reference}).answer == answer


def test_a_solution_replaces_a_reference_without_an_answer_only_where_it_is_graded_correct() -> (
    None
):
    row = {**ROW, "solution": "A proof\nof many words. " * 20}
    assert Numbered()({**row, "deepseek_grade": "Yes"}).answer == "12"
    for grade in ("No", None):
        with pytest.raises(BadRow, match="the reference states no answer"):
            Numbered()({**row, "deepseek_grade": grade})


def test_the_experts_reasoning_is_the_first_steps_thought_where_asked_for() -> None:
    row = {**ROW, "deepseek_thinking_trajectory": " Hmm, pairs. "}
    steps = Numbered(thought="deepseek_thinking_trajectory")(row).trajectories[0].steps
    assert [step.thought for step in steps] == ["Hmm, pairs.", None, None]


def test_hostile_solutions_are_read_in_linear_time() -> None:
    start = time.thread_time()
    for text in (
        "1. **" * 10**5,
        "1. **a\n" * 10**5,
        "#" * 10**6,
        "# " * 10**5,
        "# " + " " * 10**6,
        "**Step 1: " * 10**5,
        "1." + " " * 10**6,
        "# Step 1: " + "a" * 10**6 + "*",
        "1. a\n" * 10**5,
        "- \n" * 10**5,
    ):
        with pytest.raises(BadRow):
            numbered_steps(text)
    assert time.thread_time() - start < 5
