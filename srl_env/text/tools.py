"""Tools that an environment declares as JSON schemas, and calls of them as text.

A call is JSON between ``<tool_call>`` tags, as the chat templates of many models write it::

    <tool_call>
    {"name": "lookup", "arguments": {"table": "products", "key": "lamp"}}
    </tool_call>

``JsonCalls`` is the completion format. Its action is the call in canonical form, with arguments in
the order of the schema, so that equal calls are equal texts. Policies whose chat template writes
calls in another form return them in this one. This module does not run calls.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from srl_env.errors import BadOption
from srl_env.problem import ExpertStep
from srl_env.text.format import CLOSE, OPEN, NamedCall, ParsedStep, check_thinking
from srl_env.text.tool import Parameter, Tool
from srl_env.text.tool_calls import CallError
from srl_env.text.unicode import all_utf8_safe

__all__ = ["CLOSE_CALL", "OPEN_CALL", "Call", "JsonCalls", "Parameter", "Tool", "call_text"]

OPEN_CALL, CLOSE_CALL = "<tool_call>", "</tool_call>"
_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
}
_LONGEST: Final = 20_000  # characters of a call


@dataclass(frozen=True, slots=True)
class Call:
    """One valid call. arguments: by name, in the order of the tool's parameters."""

    tool: str
    arguments: Mapping[str, str | int | float | bool | list[int]]

    def render(self) -> str:
        """The call as text, which ``JsonCalls.read`` reads as an equal call."""
        return call_text(self.tool, dict(self.arguments))


def call_text(name: str, arguments: Any) -> str:
    """A call of any tool in canonical form."""
    text = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    return f"{OPEN_CALL}\n{text.replace('<', chr(92) + 'u003c')}\n{CLOSE_CALL}"


@dataclass(frozen=True, slots=True)
class JsonCalls:
    """The completion format of an environment with tools: a thought, then exactly one call.

    The thought is prose, or a text between think tags. require_thought: a call without any breaks
    the format. native: whether the tools go through the chat template of a model that has one for
    tools, or to the server; if not, they are described in the prompt's text. max_thinking_tokens:
    as for ``ThinkTags``.
    """

    tools: tuple[Tool, ...]
    require_thought: bool = False
    native: bool = True
    max_thinking_tokens: int | None = None

    def __post_init__(self) -> None:
        check_thinking(self.max_thinking_tokens)
        names = [tool.name for tool in self.tools]
        if not names or len(set(names)) < len(names):
            raise BadOption(f"tools must be at least one, with names that differ; got {names}")

    @classmethod
    def of(cls, *tools: Tool) -> Self:
        """The format of some tools."""
        return cls(tools)

    @property
    def instructions(self) -> str:
        """The tools and the form, in words."""
        listed = "\n".join(json.dumps(tool.schema()["function"]) for tool in self.tools)
        return (
            f"You have these tools:\n{listed}\n\nThink first if it helps, between {OPEN} and"
            f" {CLOSE}. Then call exactly one tool, and write nothing after it:\n{OPEN_CALL}\n"
            '{"name": "…", "arguments": {…}}\n' + CLOSE_CALL
        )

    @property
    def native_instructions(self) -> str:
        """The form in words, for a prompt in which the chat template describes tools and calls."""
        return (
            f"Think first if it helps, between {OPEN} and {CLOSE}. Then call exactly one tool, and"
            " write nothing after the call."
        )

    @property
    def stop(self) -> tuple[str, ...]:
        """The tag that closes a call."""
        return (CLOSE_CALL,)

    def parse(self, text: str) -> ParsedStep:
        """The thought and the canonical call; never raises."""
        thought, rest = _split(text.strip())
        if rest is None:
            return ParsedStep(None, "", False, f"{OPEN} is never closed by {CLOSE}")
        try:
            call, prose = self._call_in(rest)
        except CallError as error:
            return ParsedStep(None, rest, False, str(error))
        thought = "\n".join(filter(None, (thought, prose))) or None
        if thought is None and self.require_thought:
            return ParsedStep(None, call.render(), False, "there is no thought before the call")
        return ParsedStep(thought, call.render(), True)

    def render(self, step: ExpertStep) -> str:
        """The thought between tags where there is one, then the action."""
        if step.thought is None and not self.require_thought:
            return step.action
        return f"{OPEN}{step.thought or ''}{CLOSE}\n{step.action}"

    def read(self, action: str) -> Call:
        """The call in an action. Raises CallError for any other text."""
        return self._call_in(action)[0]

    def call_of(self, action: str) -> NamedCall | None:
        """The tool's name and the arguments of an action; None if it is no valid call."""
        try:
            call = self.read(action)
        except CallError:
            return None
        return call.tool, dict(call.arguments)

    def _call_in(self, text: str) -> tuple[Call, str]:
        """The only call of a text, and the prose before it."""
        prose, tag, body = text.partition(OPEN_CALL)
        if tag:
            body, closed, after = body.partition(CLOSE_CALL)
            if not closed:
                raise CallError(f"{OPEN_CALL} is never closed by {CLOSE_CALL}")
        else:
            prose, body, after = "", text, ""
        if OPEN_CALL in after:
            raise CallError("write exactly one call; there is a second one")
        if after.strip():
            raise CallError("nothing may follow the call")
        return self._checked(_object(body)), prose.strip()

    def _checked(self, given: Mapping[str, Any]) -> Call:
        tool = next((tool for tool in self.tools if tool.name == given.get("name")), None)
        if tool is None:
            names = ", ".join(tool.name for tool in self.tools)
            raise CallError(f"name must be one of {names}; got {given.get('name')!r:.80}")
        arguments = given.get("arguments", {})
        if not isinstance(arguments, Mapping):
            raise CallError(f"arguments must be a JSON object; got {type(arguments).__name__}")
        problem = next(_problems(tool, arguments), None)
        if problem:
            raise CallError(f"{tool.name}: {problem}")
        return Call(
            tool.name, {name: arguments[name] for name in tool.parameters if name in arguments}
        )


def _split(text: str) -> tuple[str | None, str | None]:
    """A thought between tags and what follows it; None for both where it is never closed."""
    if not text.startswith(OPEN):
        return None, text
    thought, closed, rest = text[len(OPEN) :].partition(CLOSE)
    return (thought.strip(), rest.strip()) if closed else (None, None)


def _object(text: str) -> Mapping[str, Any]:
    if len(text) > _LONGEST:
        raise CallError(f"a call has at most {_LONGEST:,} characters; got {len(text):,}")
    try:
        found: Mapping[str, Any] = all_utf8_safe(json.loads(text))
    except (ValueError, RecursionError):
        raise CallError(
            'there is no call; write {"name": …, "arguments": {…}} as JSON between'
            f" {OPEN_CALL} and {CLOSE_CALL}"
        ) from None
    if not isinstance(found, dict):
        raise CallError(f"a call is a JSON object; got {type(found).__name__}")
    return found


def _problems(tool: Tool, arguments: Mapping[str, Any]) -> Iterator[str]:
    for name in arguments:
        if name not in tool.parameters:
            known = ", ".join(tool.parameters) or "none"
            yield f"there is no parameter {name!r:.80}; its parameters are {known}"
    for name, parameter in tool.parameters.items():
        if name not in arguments:
            if parameter.required:
                yield f"the parameter {name!r} is missing"
        elif not _fits(arguments[name], parameter):
            expected = " or ".join(map(repr, parameter.choices)) or f"of type {parameter.type}"
            yield f"{name} must be {expected}; got {arguments[name]!r:.80}"


def _fits(value: Any, parameter: Parameter) -> bool:
    right_type = isinstance(value, _TYPES[parameter.type]) and (
        isinstance(value, bool) == (parameter.type == "boolean")
    )
    finite = not isinstance(value, float) or math.isfinite(value)
    if isinstance(value, list):
        right_type = right_type and all(type(element) is int for element in value)
    return right_type and finite and (not parameter.choices or value in parameter.choices)
