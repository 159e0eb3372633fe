"""Single turns of agents with the expected action, as NeMo Gym's pivot data has them.

- "responses_create_params": what the model was asked, as OpenAI's Responses API takes it: "input"
  (messages, function calls with their outputs, reasoning), "instructions" and "tools".
- "expected_action": {"type": "message", "content"}, {"type": "function_call", "name",
  "arguments"}, or {"type": "function_call_batch", "calls"}.
- "pass_rate", if there is one: how often a reference policy's action was accepted.

Source: the task schema of the server single_step_tool_use_with_argument_comparison in NeMo Gym
(Apache 2.0). Its data on the hub were not read here, only rows made to that schema.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from srl_env.data.forms.form import Form, ReadOptions
from srl_env.data.rows import BadRow, Row, content_id, id_in
from srl_env.problem import ExpertStep, ExpertTrajectory, Problem
from srl_env.text.tool_calls import CallError, name_and_arguments
from srl_env.text.tools import CLOSE_CALL, OPEN_CALL


@dataclass(frozen=True, slots=True)
class PivotRow:
    """Converter of single turns; ``BadRow`` for one that cannot be used.

    The prompt is the conversation so far, each part under its role, after the tools' schemas. The
    one expert step is the expected action: a call as JSON between ``<tool_call>`` tags, one below
    the other if there are several, or the message. ``metadata["pass_rate"]`` is the row's.
    """

    def __call__(self, row: Row) -> Problem:
        """The problem in a row, with one step."""
        asked = row.get("responses_create_params")
        if not isinstance(asked, Mapping):
            raise BadRow('"responses_create_params" is no object', "expected what was asked")
        prompt = "\n\n".join(_conversation(asked))
        step = ExpertStep(_action(row.get("expected_action")))
        rate = row.get("pass_rate")
        return Problem(
            id_in(row, "id") or content_id(f"{prompt}\0{step.action}"),
            prompt,
            trajectories=(ExpertTrajectory((step,)),),
            metadata={} if rate is None else {"pass_rate": rate},
        )


def _conversation(asked: Mapping[str, Any]) -> Iterator[str]:
    tools, said = asked.get("tools") or [], asked.get("input")
    if tools:
        if not isinstance(tools, list):
            raise BadRow('"tools" is no list', f"got {type(tools).__name__}")
        yield "[tools]\n" + "\n".join(map(_json, tools))
    if asked.get("instructions"):
        yield f"[system]\n{asked['instructions']}"
    items = [{"role": "user", "content": said}] if isinstance(said, str) else said
    if not isinstance(items, list) or not items:
        raise BadRow('"input" is no text and no list of messages', "expected the conversation")
    for item in items:
        if not isinstance(item, Mapping):
            raise BadRow('an item of "input" is no object', f"got {type(item).__name__}")
        kind = item.get("type", "message")
        if kind == "message":
            yield f"[{item.get('role', 'user')}]\n{_text(item.get('content'))}"
        elif kind == "function_call":
            yield f"[assistant]\n{_call(item)}"
        elif kind == "function_call_output":
            yield f"[tool]\n{_text(item.get('output'))}"
        elif kind != "reasoning":  # reasoning of earlier turns is not shown again
            raise BadRow(f'an item of "input" of type {kind!r:.40}', "expected a message or a call")


def _action(expected: Any) -> str:
    if isinstance(expected, Mapping):
        kind = expected.get("type")
        if kind == "message" and _text(expected.get("content")):
            return _text(expected["content"])
        if kind == "function_call":
            return _call(expected)
        calls = expected.get("calls")
        if kind == "function_call_batch" and calls and isinstance(calls, list):
            return "\n".join(map(_call, calls))
    raise BadRow('no "expected_action"', "expected a message, function_call or function_call_batch")


def _call(item: Any) -> str:
    try:
        name, arguments = name_and_arguments(item)
    except CallError as error:
        raise BadRow("a call that cannot be read", str(error)) from error
    text = _json({"name": name, "arguments": dict(arguments)})
    return f"{OPEN_CALL}\n{text}\n{CLOSE_CALL}"


def _json(value: Any) -> str:
    """A tool or a call as JSON. Tables hold dates and decimals too, which have none."""
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise BadRow("a tool or a call that is no JSON", str(error)) from error


def _text(value: Any) -> str:
    """A text, or the texts of a list of parts."""
    if isinstance(value, list):
        parts = [part.get("text") for part in value if isinstance(part, Mapping)]
        return "\n".join(part for part in parts if isinstance(part, str)).strip()
    return "" if value is None else str(value).strip()


def _is_pivot(row: Row, options: ReadOptions) -> bool:
    return "responses_create_params" in row and "expected_action" in row


FORM = Form(
    "pivot",
    'a single turn: "responses_create_params" and "expected_action"',
    _is_pivot,
    lambda rows, options: PivotRow(),
    verifier="none",
    format="think-optional",
)
