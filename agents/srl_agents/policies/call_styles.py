"""How chat templates write tool calls, and calls read from completions of that style.

A style finds the calls in a text. ``canonical`` writes them as JSON between <tool_call> tags, the
one form that completion formats read. A text without a well-formed call of the style stays as it
is: the format then says what is wrong with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from srl_env.text.format import CLOSE, OPEN, NamedCall
from srl_env.text.tool import Tool
from srl_env.text.tools import CLOSE_CALL, OPEN_CALL, call_text

_DECODER = json.JSONDecoder(strict=False)


class Found(NamedTuple):
    """The calls of a text, and where they begin and end in it. Arguments may be of any type."""

    start: int
    end: int
    calls: list[tuple[str, Any]]


@dataclass(frozen=True, slots=True)
class CallStyle:
    """A way of writing calls.

    find: the calls in a text, None if there are none or one is malformed. tokens: special tokens
    that belong to a call's text. stop: what ends a call, "" if the turn's end does. thought: what
    the style writes for a thought in think tags, with {thought}; "" for the tags themselves.
    """

    name: str
    find: Callable[[str], Found | None]
    tokens: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()
    thought: str = ""

    def canonical(self, text: str, tools: Sequence[Tool] = ()) -> str:
        """The text with its thought and calls in the form that completion formats read."""
        if self.thought:
            text = _with_think_tags(text, self.thought)
        thought, text = _after_thought(text)
        found = self.find(text)
        if found is None:
            return thought + text
        try:
            calls = [call_text(name, _typed(name, values, tools)) for name, values in found.calls]
        except RecursionError:  # values that are nested too deep to be written
            return thought + text
        before = (thought + text[: found.start]).rstrip()
        return "\n".join(filter(None, (before, *calls))) + text[found.end :]

    def write_thought(self, completion: str) -> str:
        """A completion with the thought in the form of this style."""
        if not self.thought or not completion.startswith(OPEN):
            return completion
        thought, closed, rest = completion[len(OPEN) :].partition(CLOSE)
        written = self.thought.replace("{thought}", thought) + rest.removeprefix("\n")
        return written if closed else completion


def find_style(text: str, call: NamedCall) -> tuple[CallStyle, Found] | None:
    """The style that reads exactly this call in a text; None if no style does."""
    for style in STYLES:
        found = style.find(text)
        if found is not None and found.calls == [call]:
            return style, found
    return None


def _marked(*markers: str, close: str = "") -> Callable[[str], Found | None]:
    """JSON after a marker: an object, or a list; or a name, and its arguments as an object."""
    opening = re.compile("|".join(map(re.escape, markers)))
    name = re.compile(  # the possessive *+ keeps it linear
        r"\s*+([\w.-]{1,64})\s*+(?:\[CALL_ID\]\w*+\s*+)?(?:\[ARGS\]\s*+)?(?=\{)"
    )

    def find(text: str) -> Found | None:
        first = opening.search(text)
        calls, end, after = list[tuple[str, Any]](), 0, first
        while after is not None:
            named = name.match(text, after.end())
            try:
                value, end = _DECODER.raw_decode(text, _visible(text, (named or after).end()))
            except (ValueError, RecursionError):
                return None
            read = [(named[1], value)] if named else list(_calls(value))
            if not read:
                return None
            calls += read
            if close:
                closed = _visible(text, end)
                if not text.startswith(close, closed):
                    return None
                end = closed + len(close)
            after = opening.match(text, _visible(text, end))
        return Found(first.start(), end, calls) if first else None

    return find


def _calls(value: Any) -> Iterator[tuple[str, Any]]:
    """The calls in decoded JSON; none if one has no name."""
    found = value if isinstance(value, list) else [value]
    if all(isinstance(call, dict) and isinstance(call.get("name"), str) for call in found):
        for call in found:
            yield call["name"], call.get("arguments", call.get("parameters", {}))


def _bare(text: str) -> Found | None:
    """Llama's: a JSON object at the beginning of a line."""
    start = _BARE.search(text)
    if start is None:
        return None
    try:
        value, end = _DECODER.raw_decode(text, start.end())
    except (ValueError, RecursionError):
        return None
    calls = list(_calls(value))
    return Found(start.start(), end, calls) if calls else None


def _tags(text: str) -> Found | None:
    """Qwen3-Coder's: <function=NAME> and <parameter=NAME> tags; all values are text."""
    calls, start, end = list[tuple[str, Any]](), -1, 0
    for call in _closed(_FUNCTION, text):
        start, end = call.start if start < 0 else start, call.end
        given = {p.name: _Text(_unwrapped(p.inside)) for p in _closed(_PARAMETER, call.inside)}
        calls.append((call.name, given))
    return Found(start, end, calls) if calls else None


def _channels(text: str) -> Found | None:
    """gpt-oss's: a message to functions.NAME; the turn's end closes it."""
    call = _CHANNEL.search(text)
    if call is None:
        return None
    try:
        value, end = _DECODER.raw_decode(text, call.end())
    except (ValueError, RecursionError):
        return None
    return Found(call.start(), end, [(call[1], value)])


def _boxed(text: str) -> Found | None:
    """DeepSeek's: a name and JSON between tokens of their own."""
    begin = text.find(_BOX)
    calls, end = list[tuple[str, Any]](), 0
    for call in _closed(_BOXED, text, begin) if begin >= 0 else ():
        try:
            calls.append((call.name, json.loads(call.inside, strict=False)))
        except (ValueError, RecursionError):
            return None
        end = call.end
    if not calls:
        return None
    last = text.find(_BOX_END, end)
    return Found(begin, end if last < 0 else last + len(_BOX_END), calls)


class _Closed(NamedTuple):
    """What an opening and the next closing enclose."""

    name: str
    inside: str
    start: int
    end: int


def _closed(
    pair: tuple[re.Pattern[str], re.Pattern[str]], text: str, at: int = 0
) -> Iterator[_Closed]:
    """What pairs of an opening, with a name, and a closing enclose; in linear time."""
    opening, closing = pair
    while (begin := opening.search(text, at)) and (end := closing.search(text, begin.end())):
        yield _Closed(begin[1], text[begin.end() : end.start()], begin.start(), end.end())
        at = end.end()


def _unwrapped(value: str) -> str:
    """A value without the newlines that the style puts around it."""
    return value.removeprefix("\n").removesuffix("\n")


def _after_thought(text: str) -> tuple[str, str]:
    """A thought between think tags at the beginning, with its tags; and the text after it."""
    if not text.lstrip().startswith(OPEN):
        return "", text
    thought, closed, rest = text.partition(CLOSE)
    return thought + closed, rest


class _Text(str):
    """A value that was written as text, whatever its type."""

    __slots__ = ()


def _typed(name: str, values: Any, tools: Sequence[Tool]) -> Any:
    """The arguments; values that were written as text have the types of the tool's parameters."""
    tool = next((tool for tool in tools if tool.name == name), None)
    if tool is None or not isinstance(values, dict):
        return values
    typed = dict(values)
    for key, value in values.items():
        declared = tool.parameters.get(key)
        if isinstance(value, _Text) and declared is not None and declared.type != "string":
            try:
                typed[key] = json.loads(value)
            except (ValueError, RecursionError):
                continue
    return typed


def _with_think_tags(text: str, written: str) -> str:
    """A text in which the style's form of a thought is replaced by think tags."""
    opening, closing = written.split("{thought}")
    thought, closed, rest = text.removeprefix(opening).partition(closing)
    begins = text.startswith(opening) and closed
    return f"{OPEN}{thought}{CLOSE}\n{rest}" if begins else text


def _visible(text: str, start: int) -> int:
    """The place of the first character from ``start`` that is no white space."""
    found = _VISIBLE.search(text, start)
    return found.start() if found else len(text)


_VISIBLE = re.compile(r"\S")
_BARE = re.compile(r'^[ \t]*(?:<\|python_tag\|>)?(?=\{\s*"(?:name|type|parameters)")', re.MULTILINE)
_FUNCTION = (
    re.compile(rf"{OPEN_CALL}\s*+<function=([\w.-]{{1,64}})>"),
    re.compile(rf"</function>\s*+{CLOSE_CALL}"),
)
_PARAMETER = (re.compile(r"<parameter=([\w.-]{1,64})>"), re.compile(r"</parameter>"))
_CHANNEL = re.compile(
    r"(?:<\|start\|>assistant)?(?:<\|channel\|>commentary)?[ ]?to=functions\.([\w.-]{1,64})"
    r"(?:<\|channel\|>commentary)?[ ]?(?:<\|constrain\|>)?(?:json)?<\|message\|>"
)
_BOX, _BOX_END = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
_BOXED = (
    re.compile(
        r"<｜tool▁call▁begin｜>(?:function<｜tool▁sep｜>)?([\w.-]{1,64})"
        r"(?:<｜tool▁sep｜>|\n```json\n)"
    ),
    re.compile(r"(?:\n```)?<｜tool▁call▁end｜>"),
)

STYLES = (
    CallStyle("tags", _tags, (OPEN_CALL, CLOSE_CALL), (CLOSE_CALL,)),
    CallStyle(
        "hermes", _marked(OPEN_CALL, close=CLOSE_CALL), (OPEN_CALL, CLOSE_CALL), (CLOSE_CALL,)
    ),
    CallStyle(
        "mistral", _marked("[TOOL_CALLS]"), ("[TOOL_CALLS]", "[ARGS]", "[CALL_ID]", "[TOOL_CALL]")
    ),
    CallStyle("granite", _marked("<|tool_call|>"), ("<|tool_call|>",)),
    CallStyle(
        "channels",
        _channels,
        ("<|channel|>", "<|message|>", "<|constrain|>", "<|start|>", "<|end|>"),
        thought="<|channel|>analysis<|message|>{thought}<|end|><|start|>assistant",
    ),
    CallStyle(
        "boxes",
        _boxed,
        (_BOX, _BOX_END, "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>", "<｜tool▁sep｜>"),
    ),
    CallStyle("bare", _bare, ("<|python_tag|>",)),
)
