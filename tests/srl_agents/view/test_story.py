"""What a step does in one line, its edits as diffs, and the end of a rollout in words."""

from __future__ import annotations

import pytest

from srl_agents.view.story import Ending, ending, result, told
from srl_env.text.tool_calls import EDITOR, ToolCall
from tests.srl_agents.view.rows import step


def call(tool: str, **arguments: object) -> str:
    return ToolCall(tool, arguments).render()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("action", "title"),
    [
        (call("bash", command="pytest tests/x.py"), "bash: pytest tests/x.py"),
        (call("bash", command="cd a\nls"), "bash: cd a …"),
        (call("bash", command="python - <<'EOF'\nx = 1\nprint(x)\nEOF"), "bash: python … print(x)"),
        (call("submit"), "submit"),
        (call(EDITOR, command="view", path="a.py"), "view a.py"),
        (call(EDITOR, command="view", path="a.py", view_range=(3, -1)), "view a.py:3–end"),
        (call(EDITOR, command="undo_edit", path="a.py"), "undo the last edit of a.py"),
        (call("bash", command="echo '<function=x>'"), "bash: echo '<function=x>'"),
        (
            '<tool_call>\n{"name": "lookup", "arguments": {"key": "é", "n": 2}}\n</tool_call>',
            'lookup(key="é", n=2)',
        ),
    ],
)
def test_a_call_is_told_in_one_line(action: str, title: str) -> None:
    found = told(action)
    assert found is not None
    assert found.title == title


@pytest.mark.parametrize(
    "action",
    ["I give up", "", "<function=bash>", "<tool_call>[1]</tool_call>", "<tool_call>{</tool_call>"],
)
def test_a_text_that_is_no_call_is_not_told(action: str) -> None:
    assert told(action) is None


def test_a_long_command_is_shown_in_full_below_its_first_characters() -> None:
    found = told(call("bash", command="x" * 500))
    assert found is not None
    assert found.title == f"bash: {'x' * 154} …"
    assert found.body == "x" * 500


def test_an_edit_is_a_diff_with_the_line_that_the_result_shows() -> None:
    edit = call(
        EDITOR, command="str_replace", path="a.py", old_str="x = 1\ny = 2", new_str="x = 1\ny = 3"
    )
    found = told(edit, "…a snippet of a.py:\n     6\tx = 1\n     7\tx = 1\n     8\ty = 3\n")
    assert found is not None
    assert found.title == "edit a.py:7"
    assert found.diff == " x = 1\n-y = 2\n+y = 3"
    unknown = told(edit, "No replacement was performed")
    assert unknown is not None
    assert unknown.title == "edit a.py"


def test_the_result_of_a_step_is_what_the_next_was_shown() -> None:
    first = {"role": "user", "content": "problem"}
    said = {"role": "assistant", "content": "call"}
    steps = [
        step("a", messages=[first]),
        step("b", messages=[first, said, {"role": "user", "content": "output"}]),
    ]
    assert result(steps, 0) == "output"
    assert result(steps, 1) == ""
    assert result([step("a"), step("b", 1)], 0) == ""  # one message: the steps so far


def test_a_verdict_on_tests_names_those_that_fail() -> None:
    verdict = {
        "correct": False,
        "fail_to_pass": {"t::a": True, "t::b": False},
        "pass_to_pass": {f"t::p{n}": n > 22 for n in range(24)},
        "cases": {"sum": True},
        "tamper": [],
        "dropped": [{"path": "tests/x.py", "reason": "test"}],
        "diff": "diff --git …",
    }
    found = ending(verdict)
    assert found.words == (
        "Not resolved: 1 of 2 tests of the bug pass; 1 of 24 other tests pass; 1 of 1 hidden calls"
        " give the right result; tests/x.py does not count (test)."
    )
    assert found.tests[:2] == (("t::b", "still fails"), ("t::p0", "does not pass any more"))
    assert found.tests[-1] == ("and 3 more", "does not pass any more")
    assert found.diff == "diff --git …"


def test_tests_that_were_not_run_are_not_said_to_fail() -> None:
    verdict = {
        "correct": False,
        "fail_to_pass": {"t::a": False},
        "pass_to_pass": {"t::b": False},
        "cases": {"sum": False, "product": True},
    }
    assert ending(verdict) == Ending(
        "Not resolved: 1 of 2 hidden calls give the right result; so no test was run.",
        (("sum", "gives a wrong result"),),
    )


def test_a_verdict_on_an_answer_says_the_answer() -> None:
    assert ending({"correct": True, "answer": "42"}).words == "Right: the answer is 42."
    assert ending({"correct": False, "answer": None}).words == "Wrong."
