"""What a tokenizer's chat template does, found by rendering small conversations with it.

What a template adds between two turns is found in the same way: a conversation is rendered with a
mark in the place of a turn, and what follows the mark is what the template adds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from srl_agents.policies.call_styles import CallStyle, find_style
from srl_agents.policies.spelled_tokens import SpelledTokens, unused
from srl_env.text.format import CLOSE, OPEN, NamedCall
from srl_env.text.prompt import Message, MessageCall, Messages
from srl_env.text.tool import Parameter, Tool
from srl_env.text.tools import CLOSE_CALL, OPEN_CALL

KEPT = frozenset({OPEN, CLOSE, OPEN_CALL, CLOSE_CALL})
"""Tokens that belong to a completion's text, even if a tokenizer calls them special."""

_ARGUMENTS = "chat_template_kwargs"
_PROBE: Message = {"role": "user", "content": "A question."}
_PROBE_CALL: NamedCall = ("look_up", {"word": "a probe"})
_PROBE_TOOL = Tool("look_up", "Looks a word up.", {"word": Parameter("string")})
_PROBE_RESULT = "A result."


def set_arguments(tokenizer: Any, arguments: Mapping[str, Any] | None) -> None:
    """Sets further arguments of the template, such as enable_thinking; None leaves them.

    The tokenizer keeps them, also when it is saved, so that every later use renders the same text.
    """
    if arguments is not None:
        tokenizer.init_kwargs[_ARGUMENTS] = dict(arguments)


@dataclass(frozen=True, slots=True)
class ToolUse:
    """What a template does with tools. style: how it writes calls. end: ids that end a turn with a
    call, the last one a special token; () if none does."""

    style: CallStyle
    end: tuple[int, ...]


class ChatTemplate:
    """The chat template of a Hugging Face tokenizer that has one."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._spelled = SpelledTokens(tokenizer, hidden_ids(tokenizer))
        self._arguments_as_text = False

    def encode(self, chats: Sequence[Messages], tools: Sequence[Tool] = ()) -> list[list[int]]:
        """Prompts that ask for the assistant's turn. The template may raise anything."""
        marked = [self._spelled.marked(chat) for chat in chats]
        plain = [self._messages(chat) for chat, mark in marked if not mark]
        rows: Iterator[list[int]] = iter(self._applied(plain, True, tools) if plain else ())
        return [
            self._encode_marked(chat, mark, tools) if mark else next(rows) for chat, mark in marked
        ]

    def _encode_marked(self, chat: Messages, mark: str, tools: Sequence[Tool]) -> list[int]:
        text = self._applied(self._messages(chat), True, tools, tokenize=False)
        return self._spelled.encode_marked(text, mark)

    @cached_property
    def fault(self) -> str | None:
        """Why it cannot render a question; None if it can."""
        try:
            self._applied([_PROBE], True, ())
        except Exception as error:  # noqa: BLE001  # templates are programs
            return str(error) or type(error).__name__
        return None

    @cached_property
    def opening(self) -> str:
        """The opened thought at the end of a prompt, such as "<think>\\n"; "" if there is none."""
        found = re.search(rf"{OPEN}\s*$", self._rendered([_PROBE], prompt=True) or "")
        return found.group() if found else ""

    @cached_property
    def takes_system(self) -> bool:
        """Whether system messages are shown. True if no message is, as that is another error."""
        text = self._rendered([{"role": "system", "content": "A task."}, _PROBE])
        return "A task." in (text or "") or self._rendered([_PROBE]) is None

    @cached_property
    def turn_end(self) -> tuple[int, ...]:
        """The ids that end the assistant's turn, the last one a special token; () if none does."""
        answer = "An answer."
        text = self._rendered([_PROBE, {"role": "assistant", "content": answer}]) or ""
        _, shown, after = text.rpartition(answer)
        return self._end(after) if shown else ()

    @cached_property
    def tool_use(self) -> ToolUse | None:
        """What it does with tools; None if it does not show tools, calls and their results.

        Arguments are an object for most templates, and JSON text for some.
        """
        found = self._found_tool_use()
        if found is None:
            self._arguments_as_text = True
            found = self._found_tool_use()
        return found

    def _found_tool_use(self) -> ToolUse | None:
        call, tools = _call_message(_PROBE_CALL), (_PROBE_TOOL,)
        result: Message = {
            "role": "tool",
            "content": _PROBE_RESULT,
            "tool_call_id": call["tool_calls"][0]["id"],
            "name": _PROBE_TOOL.name,
        }
        asked = self._rendered([_PROBE], prompt=True, tools=tools) or ""
        answered = self._rendered([_PROBE, call, result], prompt=True, tools=tools) or ""
        if _PROBE_TOOL.description not in asked or _PROBE_RESULT not in answered:
            return None
        text = self._after_question(call, tools)
        found = find_style(text, _PROBE_CALL)
        return found and ToolUse(found[0], self._end(text[found[1].end :]))

    def write_call(self, call: NamedCall, tools: Sequence[Tool]) -> str:
        """The call as the template writes it in the assistant's turn."""
        return self._written_call(_call_message(call), tools)

    def between(
        self, messages: Messages, place: int, tools: Sequence[Tool] = ()
    ) -> list[int] | None:
        """The ids that it adds after the assistant's message at ``place``, up to the next prompt.

        They begin with the turn's end. None if the template does not show that message.
        """
        messages, inside = self._spelled.marked(messages)
        mark = unused(messages)
        marked = _marked(messages[place], mark)
        chat = self._messages([*messages[:place], marked, *messages[place + 1 :]])
        text = self._rendered(chat, prompt=True, tools=tools) or ""
        _, shown, after = text.rpartition(mark)
        if not shown:
            return None
        if "tool_calls" in marked:
            after = after.removeprefix(self._written_call(marked, tools).partition(mark)[2])
        return self._spelled.encode_marked(after, inside)

    def _written_call(self, message: Message, tools: Sequence[Tool]) -> str:
        assert self.tool_use is not None, "callers have asked"
        text = self._after_question(message, tools)
        found = self.tool_use.style.find(text)
        return text if found is None else text[found.start : found.end]

    def _after_question(self, message: Message, tools: Sequence[Tool]) -> str:
        """What follows the prompt in a chat of a question and this message."""
        text = self._rendered([_PROBE, message], tools=tools) or ""
        prompt = self._rendered([_PROBE], prompt=True, tools=tools) or ""
        asked = prompt.removesuffix(self.opening)
        if text.startswith(asked):
            return text[len(asked) :]
        return text[_agreeing(self._rendered([_PROBE], tools=tools) or "", text) :]

    def _end(self, after: str) -> tuple[int, ...]:
        """The ids at the beginning of a text up to its first special token, if all is blank."""
        ids = list(self._tokenizer(after, add_special_tokens=False)["input_ids"])
        special = special_ids(self._tokenizer)
        place = next((place for place, token in enumerate(ids) if token in special), None)
        if place is None or self._tokenizer.decode(ids[:place]).strip():
            return ()
        return tuple(ids[: place + 1])

    def _messages(self, chat: Messages) -> list[Message]:
        """The chat; without a system role its text goes in front of the first user message."""
        messages = list(chat)
        if len(messages) > 1 and messages[0]["role"] == "system" and not self.takes_system:
            system, first = messages[:2]
            content = f"{system['content']}\n\n{first['content']}"
            messages[:2] = [{"role": first["role"], "content": content}]
        return self._shown(messages)

    def _shown(self, messages: Messages) -> list[Message]:
        """The messages with arguments as the template takes them."""
        if not self._arguments_as_text:
            return list(messages)
        return [_with_arguments_as_text(message) for message in messages]

    def _rendered(
        self, chat: Messages, prompt: bool = False, tools: Sequence[Tool] = ()
    ) -> str | None:
        """The text of a chat; None if the template refuses it."""
        try:
            return str(self._applied(self._shown(chat), prompt, tools, tokenize=False))
        except Exception:  # noqa: BLE001  # templates are programs
            return None

    def _applied(
        self, chats: Any, prompt: bool, tools: Sequence[Tool], tokenize: bool = True
    ) -> Any:
        return self._tokenizer.apply_chat_template(
            chats,
            **({"tools": [tool.schema() for tool in tools]} if tools else {}),
            add_generation_prompt=prompt,
            tokenize=tokenize,
            return_dict=False,
            **getattr(self._tokenizer, "init_kwargs", {}).get(_ARGUMENTS, {}),
        )


def _with_arguments_as_text(message: Message) -> Message:
    if "tool_calls" not in message:
        return message
    calls: list[MessageCall] = []
    for call in message["tool_calls"]:
        given = call["function"]["arguments"]
        text = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
        calls.append({**call, "function": {**call["function"], "arguments": text}})
    return {**message, "tool_calls": calls}


def _call_message(call: NamedCall) -> Message:
    function = {"name": call[0], "arguments": call[1]}
    made: MessageCall = {"id": "call00000", "type": "function", "function": function}
    return {"role": "assistant", "content": "", "tool_calls": [made]}


def _agreeing(a: str, b: str) -> int:
    """How many characters two texts begin with in common."""
    if b.startswith(a):
        return len(a)
    pairs = enumerate(zip(a, b, strict=False))
    return next((place for place, (x, y) in pairs if x != y), min(len(a), len(b)))


def _marked(message: Message, mark: str) -> Message:
    """The message with a mark as its content, or as the only argument of its call."""
    if "tool_calls" not in message:
        return {"role": "assistant", "content": mark}
    call = message["tool_calls"][0]
    function = {"name": call["function"]["name"], "arguments": {"mark": mark}}
    return {**message, "tool_calls": [{**call, "function": function}]}


def special_ids(tokenizer: Any) -> frozenset[int]:
    """Ids of all special tokens, also of those that have no role."""
    return frozenset(_special(tokenizer))


def hidden_ids(tokenizer: Any) -> frozenset[int]:
    """Special tokens that a completion's text does not show: all but think and tool-call tags."""
    kept = {tokenizer.convert_tokens_to_ids(tag) for tag in KEPT} - {tokenizer.unk_token_id}
    return special_ids(tokenizer) - kept


def _special(tokenizer: Any) -> Iterator[int]:
    yield from tokenizer.all_special_ids
    added = getattr(tokenizer, "added_tokens_decoder", {})
    yield from (number for number, token in added.items() if token.special)
