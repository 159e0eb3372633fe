"""Trajectories in ATIF, the agent trajectory interchange format, as data for SRL.

- An object has "schema_version" (``ATIF-v1.0`` to ``ATIF-v1.7``), "agent" ({name, version,
  model_name}), "session_id" and, since v1.7, "trajectory_id", and "steps".
- A step has "step_id", "source" (system, user or agent) and "message" (a text, or since v1.6 a list
  of {type, text} parts).
- A step of an agent also has "reasoning_content", "tool_calls" ([{tool_call_id, function_name,
  arguments}]) and "observation" ({results: [{source_call_id, content}]}).
- Since v1.7 a step may be "is_copied_context": it is part of an earlier trajectory and must not be
  trained on. An agent's step with an "llm_call_count" of 0 was made without a model.

Source: the format's specification in the Harbor project, rfcs/0001-trajectory-format.md, v1.7.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from srl_env.data.forms.form import Form, ReadOptions
from srl_env.data.rows import BadRow, Row, content_id
from srl_env.problem import ExpertStep, ExpertTrajectory, Problem
from srl_env.text.tool_calls import CallError, ToolCall, name_and_arguments, parse_call

_VERSION = re.compile(r"ATIF-v1\.\d+")


@dataclass(frozen=True, slots=True)
class ATIFTrajectory:
    """Converter of ATIF trajectories; ``BadRow`` for one that cannot be used.

    The prompt is the users' messages before the agent's first step. Each tool call is an expert
    step, with the results that name it; so is an agent's message without a call. Message and
    reasoning before several calls are the thought of the first one. Later messages of users, and
    reports of the system, are added to the observation before them. Calls of the tools in
    ``srl_env.text.tool_calls`` are written in its canonical form, others as JSON,
    ``{"name": …, "arguments": {…}}``.
    Copied context, steps without a model and empty steps are dropped;
    ``metadata["skipped_steps"]`` counts them. Trajectories of subagents are not followed. An image
    becomes ``[image]``.
    """

    def __call__(self, row: Row) -> Problem:
        """The problem in a trajectory."""
        if not _VERSION.fullmatch(str(row.get("schema_version"))):
            raise BadRow("no ATIF-v1", f'"schema_version" is {row.get("schema_version")!r:.60}')
        users, own = _parts(row)
        prompt = "\n\n".join(filter(None, (_text(step.get("message")) for step in users)))
        if not prompt:
            raise BadRow("no message of a user", "expected one before the agent's first step")
        steps, skipped = _expert_steps(own)
        if not steps:
            raise BadRow("no step of an agent", 'expected one with "source": "agent"')
        agent = row.get("agent")
        model = agent.get("model_name") if isinstance(agent, Mapping) else None
        metadata = {"skipped_steps": skipped} if skipped else {}
        return Problem(
            _id(row) or content_id(prompt),
            prompt,
            trajectories=(ExpertTrajectory(tuple(steps), model if _filled(model) else None),),
            metadata=metadata,
        )


def atif_rows(problem: Problem) -> Iterator[Row]:
    """One trajectory in ATIF-v1.7 for each of a problem's, which ``ATIFTrajectory`` reads back.

    The answer and the metadata are not in it.
    """
    for number, trajectory in enumerate(problem.trajectories):
        steps = [_written(step, place) for place, step in enumerate(trajectory.steps, 2)]
        agent = {"name": trajectory.source or "expert", "version": "unknown"}
        yield {
            "schema_version": "ATIF-v1.7",
            "session_id": problem.id,
            "trajectory_id": f"{problem.id}#{number}" if number else problem.id,
            "agent": agent | ({"model_name": trajectory.source} if trajectory.source else {}),
            "steps": [{"step_id": 1, "source": "user", "message": problem.prompt}, *steps],
        }


def _written(step: ExpertStep, place: int) -> Row:
    """The step of an agent, with a tool call where its action is one."""
    row: dict[str, Any] = {"step_id": place, "source": "agent", "message": step.action}
    if step.thought:
        row["reasoning_content"] = step.thought
    key = f"call-{place}"
    called = _call_in(step.action)
    if called is not None:
        name, arguments = called
        call = {"tool_call_id": key, "function_name": name, "arguments": arguments}
        row |= {"message": "", "tool_calls": [call]}
    if step.observation is not None:
        source = {"source_call_id": key} if called is not None else {}
        row["observation"] = {"results": [source | {"content": step.observation}]}
    return row


def _call_in(action: str) -> tuple[str, Mapping[str, Any]] | None:
    """The name and the arguments of the tool call that an action is; None if it is no call."""
    if not action.lstrip().startswith(("<function=", "{", "<tool_call>")):
        return None
    try:
        call = parse_call(action)
        return call.tool, {name: _plain(value) for name, value in call.arguments.items()}
    except CallError:
        pass
    text = action.strip().removeprefix("<tool_call>").removesuffix("</tool_call>")
    try:
        return name_and_arguments(json.loads(text))
    except (CallError, ValueError, RecursionError):
        return None


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _parts(row: Row) -> tuple[list[Row], list[Row]]:
    """The steps of users before the agent's first own step, and all steps from that one on."""
    steps = row.get("steps")
    if not isinstance(steps, Sequence) or not all(isinstance(step, Mapping) for step in steps):
        raise BadRow('"steps" is no list of objects', "expected ATIF's")
    own = (number for number, step in enumerate(steps) if _is_own(step))
    first = next(own, len(steps))
    return [step for step in steps[:first] if step.get("source") == "user"], list(steps[first:])


def _is_own(step: Row) -> bool:
    """Whether a step is the agent's, made by a model in this trajectory."""
    return (
        step.get("source") == "agent"
        and step.get("is_copied_context") is not True
        and step.get("llm_call_count") != 0
    )


def _expert_steps(rows: Sequence[Row]) -> tuple[list[ExpertStep], int]:
    """The steps, and how many rows of the agent were dropped."""
    steps, skipped = list[ExpertStep](), 0
    for row in rows:
        made = list(_agent_steps(row)) if _is_own(row) else []
        skipped += row.get("source") == "agent" and not made
        if made:
            steps += made
        elif row.get("is_copied_context") is not True:
            said = _text(row.get("message")) if row.get("source") == "user" else ""
            _add_observation(steps, "\n".join(filter(None, (said, *_results(row).values()))))
    return steps, skipped


def _add_observation(steps: list[ExpertStep], text: str) -> None:
    if steps and text:
        seen = steps[-1].observation
        steps[-1] = replace(steps[-1], observation=f"{seen}\n{text}" if seen else text)


def _agent_steps(row: Row) -> Iterator[ExpertStep]:
    """One step for each call, or the message if there is no call."""
    reasoning, message = _text(row.get("reasoning_content")), _text(row.get("message"))
    calls = row.get("tool_calls") or []
    if not isinstance(calls, Sequence) or not all(isinstance(call, Mapping) for call in calls):
        raise BadRow('"tool_calls" is no list of objects', "expected ATIF's")
    results = _results(row)
    if not calls and message:
        seen = "\n".join(results.values()) or None
        yield ExpertStep(message, thought=reasoning or None, observation=seen)
    thought = "\n".join(filter(None, (reasoning, message))) or None
    for number, call in enumerate(calls):
        seen = results.pop(str(call.get("tool_call_id")), "")
        if number == len(calls) - 1:  # results that name no call of this step
            seen = "\n".join(filter(None, (seen, *results.values())))
        yield ExpertStep(_action(call), thought=None if number else thought, observation=seen)


def _action(call: Row) -> str:
    name, arguments = call.get("function_name"), call.get("arguments")
    if not _filled(name) or not isinstance(arguments, Mapping | None):
        raise BadRow("a tool call that cannot be read", "expected function_name and arguments")
    arguments = {key: value for key, value in (arguments or {}).items() if value is not None}
    try:
        return ToolCall(str(name), arguments).render()
    except CallError:
        return json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)


def _results(row: Row) -> dict[str, str]:
    """{id of the call: result}; several results of one call are joined."""
    observation = row.get("observation")
    results = observation.get("results") if isinstance(observation, Mapping) else None
    found = dict[str, str]()
    for result in results or []:
        if not isinstance(result, Mapping):
            raise BadRow('a result of "observation" is no object', "expected ATIF's")
        key, text = str(result.get("source_call_id")), _text(result.get("content"))
        found[key] = f"{found[key]}\n{text}" if found.get(key) else text
    return found


def _text(value: Any) -> str:
    """The text of a message, content or reasoning, or the texts of its parts."""
    if value is None or isinstance(value, str):
        return (value or "").strip()
    if not isinstance(value, Sequence) or not all(isinstance(part, Mapping) for part in value):
        raise BadRow("a message that is not text", "expected a text or a list of parts")
    return "\n".join(
        str(part.get("text") or "") if part.get("type") == "text" else f"[{part.get('type')}]"
        for part in value
    ).strip()


def _id(row: Row) -> str | None:
    found = (row.get(key) for key in ("trajectory_id", "session_id"))
    return next((str(value) for value in found if _filled(value)), None)


def _filled(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_atif(row: Row, options: ReadOptions) -> bool:
    return str(row.get("schema_version", "")).startswith("ATIF-v1.") and "steps" in row


FORM = Form(
    "atif",
    'an agent\'s trajectory with "schema_version": "ATIF-v1.…"',
    _is_atif,
    lambda rows, options: ATIFTrajectory(),
    verifier="none",
)
