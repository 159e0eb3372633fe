"""Single turns with the expected action."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from srl_env.data import BadRow, read_problems
from srl_env.data.forms.pivot import PivotRow
from srl_env.problem import Problem

TOOL = {"type": "function", "name": "count", "parameters": {"type": "object"}}
CALL = {"type": "function_call", "name": "count", "arguments": '{"of": "views", "to": 75}'}
ASKED: dict[str, Any] = {
    "input": [
        {"role": "system", "content": "You count."},
        {"role": "user", "content": [{"type": "input_text", "text": "Set views to 75."}]},
        {"type": "reasoning", "summary": []},
        {"type": "function_call", "name": "count", "arguments": "{}", "call_id": "1"},
        {"type": "function_call_output", "call_id": "1", "output": "count of what?"},
    ],
    "tools": [TOOL],
}
WRITTEN = '<tool_call>\n{"name": "count", "arguments": {"of": "views", "to": 75}}\n</tool_call>'


def row(**changes: Any) -> dict[str, Any]:
    return {"responses_create_params": ASKED, "expected_action": CALL, "pass_rate": 0.25} | changes


def test_a_turn_is_a_problem_with_one_step(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(row()) + "\n")
    reading = read_problems(file)
    (found,) = (item.problem for item in reading)
    assert isinstance(found, Problem)
    assert reading.form.name == "pivot"
    assert found.prompt == (
        f"[tools]\n{json.dumps(TOOL)}\n\n[system]\nYou count.\n\n[user]\nSet views to 75.\n\n"
        '[assistant]\n<tool_call>\n{"name": "count", "arguments": {}}\n</tool_call>\n\n'
        "[tool]\ncount of what?"
    )
    assert [step.action for step in found.trajectories[0].steps] == [WRITTEN]
    assert found.metadata == {"pass_rate": 0.25}


@pytest.mark.parametrize(
    ("expected", "action"),
    [
        ({"type": "message", "content": "Which one?"}, "Which one?"),
        ({"type": "function_call_batch", "calls": [CALL, CALL]}, f"{WRITTEN}\n{WRITTEN}"),
    ],
)
def test_messages_and_several_calls_are_actions(expected: dict[str, Any], action: str) -> None:
    (trajectory,) = PivotRow()(row(expected_action=expected)).trajectories
    assert trajectory.steps[0].action == action


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"expected_action": {"type": "function_call_batch", "calls": []}}, "expected_action"),
        ({"expected_action": None}, "expected_action"),
        ({"expected_action": {"type": "function_call", "arguments": "{}"}}, 'no "name"'),
        ({"expected_action": CALL | {"arguments": "{"}}, "not a JSON object"),
        ({"expected_action": {"type": "function_call_batch", "calls": 5}}, "expected_action"),
        ({"expected_action": CALL | {"arguments": {"day": date(2026, 1, 2)}}}, "no JSON"),
        ({"responses_create_params": {"input": "Hi.", "tools": 5}}, '"tools" is no list'),
        ({"responses_create_params": {"input": "Hi.", "tools": [date(2026, 1, 2)]}}, "no JSON"),
        ({"responses_create_params": {"input": []}}, "no list of messages"),
        ({"responses_create_params": {"input": ["hello"]}}, "no object"),
        ({"responses_create_params": []}, "no object"),
    ],
)
def test_a_row_that_cannot_be_used_says_why(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadRow, match=reason):
        PivotRow()(row(**changes))
