"""Trajectories of coding agents as data for SRL: one problem each, whose steps are tool calls.

Read are SWE-agent's ``.traj`` files, and rows with "messages" or "trajectory" as in SWE-smith's,
OpenHands' and nebius' trajectories. These are a list, or a JSON text of one, in the tool form
("tool_calls", or parts with "tool_use"), the xml form or the ticks form. An action is the
canonical call (``srl_env.text.tool_calls``), the text around it is the thought, and its result the
observation. Several calls of one turn are steps in their order. Nothing is executed::

    source = open_trajectories("trajectories.jsonl", resolved_only=True, on_bad_row="drop")
    print(source.report)
    env = ReasoningEnv(source, RecordedCalls(), format=ToolCalls(), measure="tool-calls",
                       style=PromptStyle(step_task="", problem="{problem}", last_turns=2))

Such files are long, and each is read again for every episode. ``write_jsonl(path, source)`` writes
only what matters.
Data: SWE-smith (arXiv:2504.21798), MIT; "SWE-bench/SWE-smith-trajectories" on the hub.
"""

from __future__ import annotations

import json
import os
import re
from array import array
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from srl_env.data.files.streams import RowStream
from srl_env.data.forms.form import Form, ReadOptions
from srl_env.data.rows import BadRow, Converter, Row, content_id, id_in
from srl_env.data.sources.hub import DatasetSource
from srl_env.data.sources.jsonl import JsonlSource
from srl_env.data.sources.source import RowSource
from srl_env.problem import ExpertStep, ExpertTrajectory, Problem
from srl_env.text.fences import fenced_blocks
from srl_env.text.tool_calls import (
    EDITOR,
    CallError,
    ToolCall,
    ToolCalls,
    name_and_arguments,
    parse_call,
    parse_command,
)

_EDITOR_BLOCK = re.compile(r"^```[^\n`]*\n(?=\s*str_replace_editor\s)", re.MULTILINE)
_FENCE = re.compile(r"^```[^\n`]*$", re.MULTILINE)
_XML_CALL = re.compile(r"<function=.*?</function>", re.DOTALL)
_ARGUMENTS: Mapping[str, Set[str]] = {"bash": {"command"}, "submit": set()}
_TEXTS = ("content", "text", "value")
_ROLES = {
    "system": "system", "user": "user", "human": "user", "assistant": "assistant",
    "ai": "assistant", "gpt": "assistant", "tool": "tool", "function": "tool",
    "observation": "tool", "environment": "tool",
}  # fmt: skip
TOOL_NAMES: Mapping[str, str] = {
    "execute_bash": "bash", "run_bash": "bash", "shell": "bash", "terminal": "bash",
    "str_replace_based_edit_tool": EDITOR, "file_editor": EDITOR, "edit_file": EDITOR,
    "finish": "submit", "think": "think",
}  # fmt: skip
"""{name of a tool of OpenHands or Anthropic: the same tool here}."""

_KEPT = ("resolved", "model", "traj_id", "patch")


def open_trajectories(
    path: str | os.PathLike[str],
    *,
    resolved_only: bool = False,
    statements: Mapping[str, str] | None = None,
    **options: Any,
) -> RowSource:
    """The trajectories in a file or folder, as a source of problems.

    path: a ``.traj`` file or a folder that contains some, at any depth; a ``.parquet`` file (needs
    the extra "data"); or JSON lines. resolved_only, statements: as for ``SWETrajectory``.
    options: those of ``RowSource``. Trajectories of one instance are in the same split.
    """
    path, convert = Path(path), SWETrajectory(resolved_only, statements or {})
    if path.is_dir() or path.suffix == ".traj":
        return _TrajSource(path, convert, **options)
    if path.suffix == ".parquet":
        options = {"name": path.stem, "load": {"data_files": str(path)}} | options
        return DatasetSource.from_hub("parquet", convert, **options)
    return JsonlSource(path, convert, **options)


class _TrajSource(RowSource):
    """The problems in ``.traj`` files, each read when it is asked for."""

    def __init__(self, path: Path, convert: Converter, **options: Any) -> None:
        self._stream = RowStream([path])
        super().__init__(options.pop("name", path.stem), convert, **options)

    def _locate(self) -> array[int]:
        return array("q", range(len(self._stream.files)))

    def _row(self, key: int) -> Row:
        (found,) = RowStream([self._stream.files[key]])
        if isinstance(found.row, BadRow):
            raise found.row
        return found.row

    def _place(self, key: int) -> str:
        return f"{self._stream.files[key]}:1"


@dataclass(frozen=True, slots=True)
class SWETrajectory:
    """Converter of trajectories: ``BadRow`` for one that cannot be used.

    resolved_only: a row must say "resolved". statements: {instance id: issue}. Otherwise the issue
    is the text between <pr_description> tags in the first message to the agent, or that whole
    message.

    The problem's id is the row's "traj_id", else its "instance_id". Tools of other agents get our
    names (``TOOL_NAMES``); the text of a ``think`` call is part of the next call's thought.
    Turns without a readable call are dropped together with their results, and so is a submit that
    was not the last step (SWE-agent answers the first with a checklist);
    ``metadata["skipped_turns"]`` counts both. If more than a quarter of the calls cannot be read,
    the row is bad.
    """

    resolved_only: bool = False
    statements: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, row: Row) -> Problem:
        """The problem in a row, with one trajectory."""
        if self.resolved_only and row.get("resolved") is not True:
            raise BadRow("not resolved", f'"resolved" is {row.get("resolved")!r}; expected true')
        first, turns = _message_and_turns(row)
        instance_id = id_in(row, "instance_id")
        prompt = self.statements.get(instance_id or "") or _statement(first)
        steps, skipped = _steps(turns)
        metadata = {key: row[key] for key in _KEPT if row.get(key) is not None}
        if instance_id is not None:
            metadata["instance_id"] = instance_id
        model = row.get("model")
        return Problem(
            id=id_in(row, "traj_id") or instance_id or content_id(prompt),
            prompt=prompt,
            trajectories=(ExpertTrajectory(steps, model if isinstance(model, str) else None),),
            metadata=metadata | ({"skipped_turns": skipped} if skipped else {}),
        )


# -- the first message to an agent, and its turns ---------------------------------------------


@dataclass(frozen=True, slots=True)
class _Turn:
    """call: None if there was none, an error if it could not be read. id: of the call, by which
    its result names it. think: the thought belongs to the next call."""

    thought: str | None
    call: ToolCall | CallError | None
    observation: str | None = None
    id: str | None = None
    think: bool = False


def _message_and_turns(row: Row) -> tuple[str, list[_Turn]]:
    """The issue and the turns of a row."""
    if "trajectory" in row:
        steps = _listed(row, "trajectory")
        spoken = isinstance(steps[0], Mapping) and ("role" in steps[0] or "from" in steps[0])
        return _message_turns(steps) if spoken else _traj_turns(row)
    if "messages" in row:
        return _message_turns(_listed(row, "messages"))
    raise BadRow('no "messages" and no "trajectory"', "expected one of them")


def _traj_turns(row: Row) -> tuple[str, list[_Turn]]:
    """The issue and the turns of a ``.traj`` file."""
    turns = []
    for step in _listed(row, "trajectory"):
        if not isinstance(step, Mapping) or not isinstance(step.get("action"), str):
            raise BadRow('a step of "trajectory" has no "action"', "expected SWE-agent's .traj")
        call = _command(step["action"])
        turns.append(
            _Turn(_stripped(step.get("thought")), call, _text_or_none(step, "observation"))
        )
    return _replayed_statement(row) or _first_message(_listed(row, "history"))[0], turns


def _replayed_statement(row: Row) -> str | None:
    """The issue in the configuration of the run, if there is one."""
    config = row.get("replay_config")
    try:
        config = json.loads(config) if isinstance(config, str) else config
        text = config["problem_statement"]["text"] if config else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return text if isinstance(text, str) and text.strip() else None


def _command(action: str) -> ToolCall | CallError | None:
    try:
        return parse_command(action) if action.strip() else None
    except CallError as error:
        return error


def _message_turns(messages: Sequence[Any]) -> tuple[str, list[_Turn]]:
    """The first message to the agent, and its turns."""
    first, rest = _first_message(messages)
    turns, form = list[_Turn](), _form(rest)
    begun = 0  # the first turn of the last message of the agent
    for message in rest:
        if _role(message) == "assistant":
            begun = len(turns)
            turns += _assistant_turns(message, form)
        elif turns:
            for call_id, said in _answers(message):
                place = _answered(turns, begun, call_id)
                seen = turns[place].observation
                whole = said if seen is None else f"{seen}\n{said}"
                turns[place] = replace(turns[place], observation=whole)
    return first, turns


def _answered(turns: Sequence[_Turn], begun: int, call_id: str | None) -> int:
    """The turn whose result this is: by the call's id, else the first one without a result."""
    own = range(begun, len(turns))
    named = [i for i in own if call_id is not None and turns[i].id == call_id]
    open_ = [i for i in own if turns[i].observation is None]
    return (named or open_ or [len(turns) - 1])[0]


def _answers(message: Mapping[str, Any]) -> list[tuple[str | None, str]]:
    """(id of the call or None, text) of each result in a message."""
    if results := _parts(message, "tool_result"):
        return [(_text_or_none(part, "tool_use_id"), _observation(part)) for part in results]
    return [(_text_or_none(message, "tool_call_id"), _observation(message))]


def _text_or_none(values: Any, name: str) -> str | None:
    value = values.get(name) if isinstance(values, Mapping) else None
    return value if isinstance(value, str) else None


def _stripped(value: Any) -> str | None:
    """A text without white space around it; None if nothing is left, or if it is no text."""
    return (value.strip() or None) if isinstance(value, str) else None


def _parts(message: Mapping[str, Any], kind: str) -> list[Mapping[str, Any]]:
    """The parts of a message that have this type."""
    content = message.get("content")
    parts = content if isinstance(content, list) else []
    return [part for part in parts if isinstance(part, Mapping) and part.get("type") == kind]


def _first_message(messages: Sequence[Any]) -> tuple[str, Sequence[Any]]:
    """The first message to the agent, and the messages after it, without demonstrations."""
    shown = [message for message in messages if not _is_demonstration(message)]
    for place, message in enumerate(shown):
        if _role(message) == "user":
            return _content(message), shown[place + 1 :]
    raise BadRow("no message to the agent", 'expected one with "role": "user" that has the issue')


def _is_demonstration(message: Any) -> bool:
    return isinstance(message, Mapping) and bool(message.get("is_demo"))


def _form(messages: Sequence[Any]) -> str:
    """The form of a row's calls: "tool", "xml" or "ticks"; calls in other forms are prose."""
    own = [message for message in messages if _role(message) == "assistant"]
    if any(_native_calls(message) for message in own):
        return "tool"
    return "xml" if any("<function=" in _content(message) for message in own) else "ticks"


def _assistant_turns(message: Mapping[str, Any], form: str) -> list[_Turn]:
    content = _content(message)
    if form == "tool":
        return _tool_turns(message, content)
    if form == "xml" and len(calls := _XML_CALL.findall(content)) > 1:
        first = _stripped(content.partition("<function=")[0])
        read = [_xml_turn(call) for call in calls]
        return [replace(read[0], thought=first), *read[1:]]
    if form == "xml":
        return [_xml_turn(content)]
    before, block = _ticks(content)
    return [_Turn(_stripped(before), None if block is None else _command(block))]


def _xml_turn(content: str) -> _Turn:
    if "<function=" not in content:
        return _Turn(_stripped(content), None)
    parsed = ToolCalls().parse(content)
    if not parsed.ok:
        return _Turn(None, CallError(parsed.problem_found or "no call"))
    return _Turn(parsed.thought, parse_call(parsed.action))


def _tool_turns(message: Mapping[str, Any], content: str) -> list[_Turn]:
    """A turn for each native call; the text around them is the first one's thought."""
    own = _text_or_none(message, "thought")
    thought = _stripped(content if own is None else own)
    turns = [_native_turn(call) for call in _native_calls(message)]
    if not turns:
        return [_Turn(thought, None)]
    return [replace(turns[0], thought=_joined(thought, turns[0].thought)), *turns[1:]]


def _native_turn(call: Any) -> _Turn:
    call_id = _text_or_none(call, "id")
    try:
        name, arguments = name_and_arguments(call)
        tool = TOOL_NAMES.get(name, name)
        if tool == "think":
            said = next((text for text in arguments.values() if isinstance(text, str)), None)
            return _Turn(_stripped(said), None, id=call_id, think=True)
        known = _ARGUMENTS.get(tool, arguments.keys() - {"security_risk"})
        kept = {name: value for name, value in arguments.items() if name in known}
        return _Turn(None, ToolCall(tool, kept), id=call_id)
    except CallError as error:
        return _Turn(None, error, id=call_id)


def _native_calls(message: Mapping[str, Any]) -> list[Any]:
    """OpenAI's "tool_calls", or Anthropic's parts with "tool_use", as calls with a function."""
    calls = message.get("tool_calls")
    if isinstance(calls, list) and calls:
        return calls
    return [
        {"id": part.get("id"), "name": part.get("name"), "arguments": part.get("input")}
        for part in _parts(message, "tool_use")
    ]


def _joined(*thoughts: str | None) -> str | None:
    return "\n\n".join(thought for thought in thoughts if thought) or None


def _ticks(content: str) -> tuple[str, str | None]:
    """The text before a command in ticks, and the command; None if there is none.

    As in SWE-agent the last block counts. A call of the editor may have blocks in its texts, so it
    ends with the last fence.
    """
    fences = list(_FENCE.finditer(content))
    if len(fences) < 2:
        return content, None
    editor = _EDITOR_BLOCK.search(content, 0, fences[-1].start())
    if editor:
        return content[: editor.start()], content[editor.end() : fences[-1].start()]
    if blocks := fenced_blocks(content):
        return content[: blocks[-1].begin], blocks[-1].content
    opening, closing = fences[len(fences) // 2 * 2 - 2 : len(fences) // 2 * 2]
    return content[: opening.start()], content[opening.end() : closing.start()]


def _observation(message: Mapping[str, Any]) -> str:
    return _content(message).removeprefix("OBSERVATION:\n").removeprefix("OBSERVATION:")


def _role(message: Any) -> str:
    named = message.get("role", message.get("from")) if isinstance(message, Mapping) else None
    if isinstance(named, str) and named in _ROLES:
        return _ROLES[named]
    raise BadRow("a message of no known role", f"expected one of {', '.join(_ROLES)}; {named!r}")


def _content(message: Mapping[str, Any]) -> str:
    """The text of a message, or the texts of its parts without calls and hidden thoughts."""
    content = next((message[name] for name in _TEXTS if message.get(name) is not None), None)
    if content is None or isinstance(content, str):
        return content or ""
    parts = content if isinstance(content, list) else [None]
    texts = [_text_of(part) for part in parts]
    if not all(isinstance(text, str) for text in texts):
        raise BadRow("a message that is not text", 'expected "content" as text or parts of text')
    return "\n".join(text for text in texts if text)


def _text_of(part: Any) -> Any:
    if isinstance(part, str) or not isinstance(part, Mapping):
        return part
    kind = part.get("type")
    if kind in ("tool_use", "redacted_thinking"):
        return ""
    return _content(part) if kind == "tool_result" else part.get("text", part.get("thinking"))


def _listed(row: Row, column: str) -> Sequence[Any]:
    """The list in a column, which may be the JSON text of one."""
    value = row.get(column)
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise BadRow(f'"{column}" is a text but no JSON', str(error)) from error
    if not isinstance(value, list) or not value:
        raise BadRow(f'"{column}" is not a filled list', "expected a list, or JSON text of one")
    return value


# -- steps ----------------------------------------------------------------------------------


def _statement(first: str) -> str:
    """The issue in the first message."""
    _, opened, rest = first.partition("<pr_description>")
    issue, closed, _ = rest.partition("</pr_description>")
    issue = issue.strip() if opened and closed else first.strip()
    if not issue:
        raise BadRow("no issue", "the first message to the agent is empty")
    return issue


def _steps(turns: list[_Turn]) -> tuple[tuple[ExpertStep, ...], int]:
    """The steps, and how many turns were dropped."""
    unread = [turn.call for turn in turns if isinstance(turn.call, CallError)]
    calls = [turn for turn in turns if isinstance(turn.call, ToolCall)]
    if not calls or 4 * len(unread) > len(calls) + len(unread):
        example = f"; e.g.: {unread[0]}" if unread else ""
        raise BadRow("no calls that can be read", f"{len(unread)} cannot{example}")
    steps = tuple(_kept_steps(turns, len(calls)))
    return steps, len([turn for turn in turns if not turn.think]) - len(steps)


def _kept_steps(turns: list[_Turn], count: int) -> Iterator[ExpertStep]:
    """The steps of the turns that have calls, of which there are ``count``."""
    number, thought = 0, None
    for turn in turns:
        if not isinstance(turn.call, ToolCall):
            thought = _joined(thought, turn.thought) if turn.think else thought
            continue
        number += 1
        last = number == count
        if turn.call.tool == "submit" and not last:
            continue
        if turn.observation is None and not last:
            raise BadRow("a call without its answer", f"call {number} of {count} has none")
        said, thought = _joined(thought, turn.thought), None
        yield ExpertStep(turn.call.render(), thought=said, observation=turn.observation or "")


def _is_swe(row: Row, options: ReadOptions) -> bool:
    own = isinstance(row.get("trajectory"), list | str)
    row_of_run = "messages" in row and ("instance_id" in row or "traj_id" in row)
    return not options.columns and (own or row_of_run)


FORM = Form(
    "swe-trajectory",
    'SWE-agent\'s .traj, or rows with "messages" and "instance_id" as in SWE-smith',
    _is_swe,
    lambda rows, options: SWETrajectory(options.resolved_only),
    verifier="calls",
    format="tool-calls",
)
