"""Tool calls: what a policy writes to act in a repository, read and written.

There are three tools, known from SWE-agent: ``bash(command)``, ``str_replace_editor(command, path,
…)`` with the commands view, create, str_replace, insert and undo_edit, and ``submit()``. A turn
makes exactly one call, in any of three forms::

    <function=bash>                       xml, the canonical form
    <parameter=command>ls -la</parameter>
    </function>

    ```bash                               ticks: one fenced block, which is a command; in it
    ls -la                                `str_replace_editor view a.py` and `submit` are calls
    ```

    {"name": "bash", "arguments": {"command": "ls -la"}}       tool: JSON, also OpenAI's

The tool form may stand between ``<tool_call>`` tags. What other agents write for the same calls is
read too: the editor as ``str_replace_based_edit_tool``, with ``insert_text`` for ``new_str``; a
block that is marked ``mswea_bash_command``, and a command that begins with ``echo
COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT``, which submits. Reading takes linear time, whatever the
text. This module does not run calls.
"""

from __future__ import annotations

import json
import re
import reprlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from srl_env.errors import UserError
from srl_env.problem import ExpertStep
from srl_env.text.fences import fenced_blocks
from srl_env.text.format import CLOSE, OPEN, NamedCall, ParsedStep, check_thinking
from srl_env.text.tool import Parameter, Tool
from srl_env.text.unicode import utf8_safe

Argument = str | int | tuple[int, int]

EDITOR = "str_replace_editor"
EXAMPLE = "<function=bash>\n<parameter=command>ls -la</parameter>\n</function>"

# The editor's commands: which parameters each needs, and which it may have.
EDITOR_COMMANDS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "view": (("path",), ("view_range",)),
    "create": (("path", "file_text"), ()),
    "str_replace": (("path", "old_str"), ("new_str",)),
    "insert": (("path", "insert_line", "new_str"), ()),
    "undo_edit": (("path",), ()),
}
_TEXTS = ("file_text", "old_str", "new_str")
_PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "bash": ("command",),
    EDITOR: ("command", "path", "view_range", "insert_line", *_TEXTS),
    "submit": (),
}

TOOLS = tuple(_PARAMETERS)
_TAGS = ("<function=", "</function>", "<parameter=", "</parameter>")
_FUNCTION = re.compile(r"^[ \t]*<function=", re.MULTILINE)
_NAME = re.compile(r"<function=([^<>\s]{1,64})>")
_PARAMETER = re.compile(r"\s*<parameter=([^<>\s]{1,64})>")
_PARAMETER_END = re.compile(r"</parameter>(?=\s*(?:<parameter=[^<>\s]{1,64}>|\Z))")
_FENCE = re.compile(r"^```[^\n`]*$", re.MULTILINE)
_OBJECT = re.compile(r"^[ \t]*(?=\{|\[\{)", re.MULTILINE)
_SHELLS = ("", "bash", "sh", "shell", "mswea_bash_command")
_OTHER_EDITOR = "str_replace_based_edit_tool"
_OTHER_TEXT = "insert_text"
_SUBMITS = re.compile(r"echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT(?:\s|\Z)")
_WORD = re.compile(
    r"""\s*((?:[^\s'"\\]++|\\.|'[^']*+'|"(?:[^"\\]++|\\.)*+")++)(?=\s|\Z)""", re.DOTALL
)
_PIECE = re.compile(r"""([^\s'"\\]+)|\\(.)|'([^']*)'|"((?:[^"\\]++|\\.)*+)\"""", re.DOTALL)
_MOST_WORDS = 20
_WHOLE_NUMBER = re.compile(r"-?\d{1,9}", re.ASCII)


class CallError(UserError):
    """A text is not a tool call; the message for the policy says what to write instead."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One valid call of a tool, in canonical form.

    arguments: texts with lone surrogates replaced (``utf8_safe``); ``view_range`` is (first, last)
    with last −1 for the end of the file, ``insert_line`` a number; both may be given as text.
    ``new_str`` of str_replace defaults to "". Unused parameters of the editor are dropped, and so
    are those that are None.
    Raises ``CallError`` for an unknown tool or parameter, and for a missing or wrong parameter.
    """

    tool: str
    arguments: Mapping[str, Argument]

    def __post_init__(self) -> None:
        tool, arguments = _in_our_names(self.tool, self.arguments)
        object.__setattr__(self, "tool", tool)
        object.__setattr__(self, "arguments", _checked(tool, arguments))

    def render(self) -> str:
        """The call as text, which ``parse_call`` reads as an equal call.

        It is in the xml form, or in the tool form if a value contains a tag of the xml form.
        ``file_text``, ``old_str`` and ``new_str`` have lines of their own, as in SWE-smith.
        """
        values = {name: _written(value) for name, value in self.arguments.items()}
        if any(tag in value for value in values.values() for tag in _TAGS):
            text = json.dumps({"name": self.tool, "arguments": values}, ensure_ascii=False)
            return text.replace("<", "\\u003c")
        framed = {n: f"\n{text}\n" if n in _TEXTS else text for n, text in values.items()}
        lines = [f"<parameter={name}>{text}</parameter>" for name, text in framed.items()]
        return "\n".join([f"<function={self.tool}>", *lines, "</function>"])


def parse_call(text: str) -> ToolCall:
    """The one call in a text, which may have prose before it and nothing after it.

    Raises ``CallError`` for no call, more than one, or a wrong one.
    """
    form, start = _find_form(text)
    return _READERS[form](text[start:])


INSTRUCTIONS = f"""\
You work in a repository by calling tools, one call in each turn. Think first, as casual and as \
long as you want, between {OPEN} and {CLOSE}; then write exactly one call and nothing after it.

Tools:
- bash(command): runs a command in a shell in the repository's folder.
- {EDITOR}(command, path, …): command is one of
  - view: shows a file with line numbers (optional view_range, e.g. [10, 40]), or lists a folder;
  - create: writes the new file path with file_text;
  - str_replace: replaces old_str, which must occur exactly once, by new_str;
  - insert: puts new_str after line insert_line;
  - undo_edit: takes back the last edit of path.
- submit(): ends the work; what is in the repository then is judged.

The form of a call:
{EXAMPLE}"""

NATIVE_INSTRUCTIONS = f"""\
You work in a repository by calling tools, one call in each turn. Think first, as casual and as \
long as you want, between {OPEN} and {CLOSE}; then make exactly one call and write nothing after \
it."""

SCHEMAS = (
    Tool(
        "bash",
        "Runs a command in a shell in the repository's folder.",
        {"command": Parameter("string")},
    ),
    Tool(
        EDITOR,
        "Views and edits files. view: shows a file with line numbers, or lists a folder. create:"
        " writes the new file path with file_text. str_replace: replaces old_str, which must occur"
        " exactly once, by new_str. insert: puts new_str after line insert_line. undo_edit: takes"
        " back the last edit of path.",
        {
            "command": Parameter("string", choices=tuple(EDITOR_COMMANDS)),
            "path": Parameter("string"),
            "view_range": Parameter("array", "first and last line, for view", required=False),
            "insert_line": Parameter("integer", "for insert", required=False),
            "file_text": Parameter("string", "for create", required=False),
            "old_str": Parameter("string", "for str_replace", required=False),
            "new_str": Parameter("string", "for str_replace and insert", required=False),
        },
    ),
    Tool("submit", "Ends the work; what is in the repository then is judged."),
)
"""The three tools as JSON schemas."""


@dataclass(frozen=True, slots=True)
class ToolCalls:
    """The completion format of tool calls: a thought in tags or in prose, then one call.

    The action of a well-formed completion is the canonical call (``ToolCall.render``). For any
    other it is the text without its thinking, from where the call starts if that is clear;
    ``parse_call`` of it says what is wrong. require_thought: a call without any thought before it
    breaks the form. native, max_thinking_tokens: as for ``srl_env.text.tools.JsonCalls``.
    """

    require_thought: bool = False
    native: bool = True
    max_thinking_tokens: int | None = None

    def __post_init__(self) -> None:
        check_thinking(self.max_thinking_tokens)

    @property
    def tools(self) -> tuple[Tool, ...]:
        """The tools as JSON schemas."""
        return SCHEMAS

    @property
    def native_instructions(self) -> str:
        """The form in words, for a prompt in which the chat template describes tools and calls."""
        return NATIVE_INSTRUCTIONS

    @property
    def instructions(self) -> str:
        """The tools and the form, in words."""
        return INSTRUCTIONS

    @property
    def stop(self) -> tuple[str, ...]:
        """The tag that closes a call."""
        return ("</function>",)

    def parse(self, text: str) -> ParsedStep:
        """The prose and thinking before the call, and the call."""
        thinking, rest, unclosed = _split_thinking(text.strip())
        if unclosed:
            return ParsedStep(None, "", False, f"{OPEN} is never closed by {CLOSE}")
        form, start = _find_form(rest)
        try:
            call = _READERS[form](rest[start:])
        except CallError as error:
            return ParsedStep(None, rest[start:].strip(), False, str(error))
        thought = "\n".join(filter(None, (thinking, _prose(rest[:start])))) or None
        if thought is None and self.require_thought:
            return ParsedStep(None, call.render(), False, "there is no thought before the call")
        return ParsedStep(thought, call.render(), True)

    def call_of(self, action: str) -> NamedCall | None:
        """The tool's name and the arguments of an action; None if it is no valid call."""
        try:
            call = parse_call(action)
        except CallError:
            return None
        arguments = call.arguments.items()
        return call.tool, {n: list(v) if isinstance(v, tuple) else v for n, v in arguments}

    def render(self, step: ExpertStep) -> str:
        """The thought between tags where there is one, then the action as it is."""
        if step.thought is None and not self.require_thought:
            return step.action
        thought = (step.thought or "…").replace(OPEN, "").replace(CLOSE, "")
        return f"{OPEN}{thought}{CLOSE}\n{step.action}"


# -- where the call is ---------------------------------------------------------------------

_Form = Literal["xml", "tagged", "ticks", "tool", "none"]


def _find_form(text: str) -> tuple[_Form, int]:
    """The form of a text's call, and where the call starts."""
    forms: tuple[tuple[_Form, re.Match[str] | None], ...] = (
        ("xml", _FUNCTION.search(text)),
        ("tagged", re.search("<tool_call>", text)),
        ("ticks", _FENCE.search(text)),
        ("tool", _OBJECT.search(text)),
        ("xml", re.search("<function=", text)),
    )
    for form, found in forms:
        if found:
            return form, found.start()
    return "none", 0


def _split_thinking(body: str) -> tuple[str, str, bool]:
    """The text in the tags, the text after them, and whether they are never closed.

    The opening tag may be missing, as it may be part of the prompt.
    """
    if body.startswith(OPEN):
        thinking, closed, rest = body[len(OPEN) :].partition(CLOSE)
        return thinking.strip(), rest, not closed
    form, start = _find_form(body)
    close = body.find(CLOSE)
    if close >= 0 and (form == "none" or close < start):
        return body[:close].strip(), body[close + len(CLOSE) :], False
    return "", body, False


def _prose(before: str) -> str:
    """The prose before a call, without the call's wrapping."""
    before = before.strip()
    for opener in ("```xml", "```", "<tool_call>"):
        before = before.removesuffix(opener).rstrip()
    return before


# -- the forms -----------------------------------------------------------------------------


def _read_none(text: str) -> ToolCall:
    what = "There is no call in it" if text.strip() else "It is empty"
    raise CallError(f"{what}. End the turn with exactly one call, e.g.\n{EXAMPLE}")


def _read_xml(text: str) -> ToolCall:
    begun = _NAME.match(text := text.lstrip())
    if begun is None:
        raise CallError(f"A call begins with <function=NAME>, NAME one of {', '.join(TOOLS)}.")
    body, closed, after = text[begun.end() :].partition("</function>")
    if not closed:
        raise CallError("The call is never closed. End it with </function>.")
    _nothing_after(after)
    return ToolCall(begun[1], dict(_xml_parameters(body)))


def _xml_parameters(body: str) -> Iterator[tuple[str, str]]:
    place, seen = 0, set[str]()
    while opened := _PARAMETER.match(body, place):
        name = opened[1]
        closed = _PARAMETER_END.search(body, opened.end())
        if closed is None:
            raise CallError(f"The parameter {name!r} is never closed. End it with </parameter>.")
        if name in seen:
            raise CallError(f"The parameter {name!r} is there twice. Give it once.")
        seen.add(name)
        yield name, body[opened.end() : closed.start()].removeprefix("\n").removesuffix("\n")
        place = closed.end()
    if body[place:].strip():
        raise CallError(
            f"Between <function=…> and </function> stand only parameters, written "
            f"<parameter=NAME>VALUE</parameter>; found {_shown(body[place:])}."
        )


def _read_tagged(text: str) -> ToolCall:
    inside, closed, after = text.strip().removeprefix("<tool_call>").partition("</tool_call>")
    if not closed:
        raise CallError("The call is never closed. End it with </tool_call>.")
    if after.strip():
        raise CallError("One call in each turn, and nothing after it. Remove what follows.")
    return _read_tool(inside)


def _read_tool(text: str) -> ToolCall:
    try:
        value, end = _DECODER.raw_decode(text := text.strip())
    except json.JSONDecodeError as error:
        raise CallError(
            f"The call is not valid JSON: {error.msg} at character {error.pos + 1}. "
            f"Fix it, or write the call as\n{EXAMPLE}"
        ) from None
    except (RecursionError, ValueError):
        raise CallError("The call's JSON is nested too deep or has too large a number.") from None
    _nothing_after(text[end:])
    return call_from_json(value)


def call_from_json(value: Any) -> ToolCall:
    """The call in decoded JSON: ``{"name", "arguments"}``, or OpenAI's ``{"function": …}``, a list
    of one such, or ``{"tool_calls": […]}``. The arguments may be JSON text.

    Raises ``CallError`` for anything else.
    """
    return ToolCall(*name_and_arguments(value))


def name_and_arguments(value: Any) -> tuple[str, Mapping[str, Any]]:
    """The name and the arguments of the call in decoded JSON, for any tool; see
    ``call_from_json``."""
    if isinstance(value, Mapping) and "tool_calls" in value:
        value = value["tool_calls"]
    if isinstance(value, list):
        if len(value) != 1:
            raise CallError(f"There are {len(value)} calls. Write exactly one in each turn.")
        value = value[0]
    if isinstance(value, Mapping) and isinstance(value.get("function"), Mapping):
        value = value["function"]
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), str):
        raise CallError(
            'A call in JSON is {"name": TOOL, "arguments": {…}}; there is no "name" in it.'
        )
    arguments = value.get("arguments")
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments or "{}", strict=False)
        except (ValueError, RecursionError):
            raise CallError('"arguments" is a text that is not a JSON object.') from None
    if not isinstance(arguments, Mapping | None):
        raise CallError('"arguments" is an object with a value for each parameter.')
    return value["name"], arguments or {}


def _read_ticks(text: str) -> ToolCall:
    blocks = fenced_blocks(text)
    if len(blocks) != 1:
        many = "There is more than one fenced block. Write exactly one call in each turn"
        open_end = "The block is never closed. End it with ``` on a line of its own"
        raise CallError(
            f"{many if blocks else open_end}; where the command itself has ``` in it, write it as\n"
            f"{EXAMPLE}"
        )
    (block,) = blocks
    _nothing_after(text[block.end :])
    if block.language == "json":
        return _read_tool(block.content)
    if block.language not in _SHELLS:
        raise CallError(f"A fenced block is a bash command; this one is marked {block.language!r}.")
    return parse_command(block.content)


def parse_command(command: str) -> ToolCall:
    """The call of a typed command: of the editor, ``submit``, or else bash.

    The editor's is ``str_replace_editor COMMAND PATH [--PARAMETER VALUE …]``, quoted as in a
    shell; ``--view_range`` takes two numbers. Raises ``CallError`` for a wrong one.
    """
    command = command.strip()
    if command in ("submit", "submit -f", "submit --force"):
        return ToolCall("submit", {})
    if command.split(maxsplit=1)[:1] not in ([EDITOR], [_OTHER_EDITOR]):
        return ToolCall("bash", {"command": command})
    words = _shell_words(command)[1:]
    place = 0
    arguments: dict[str, str] = {}
    for name in ("command", "path"):
        if place < len(words) and not words[place].startswith("--"):
            arguments[name] = words[place]
            place += 1
    while place < len(words):
        name, given, value = words[place].removeprefix("--").partition("=")
        if not words[place].startswith("--") or name not in (*_PARAMETERS[EDITOR], _OTHER_TEXT):
            raise CallError(
                f"{EDITOR} is called as {EDITOR} COMMAND PATH --PARAMETER VALUE …; "
                f"{_shown(words[place])} is not a parameter of it."
            )
        pair = words[place + 1 : place + 3]
        is_pair = len(pair) == 2 and all(map(_WHOLE_NUMBER.fullmatch, pair))
        count = 0 if given else 2 if name == "view_range" and is_pair else 1
        arguments[name] = value if given else " ".join(words[place + 1 : place + 1 + count])
        place += 1 + count
    return ToolCall(EDITOR, arguments)


def _shell_words(command: str) -> list[str]:
    """The words of a command line, unquoted as in a shell that expands nothing."""
    words, place = [], 0
    while found := _WORD.match(command, place):
        words.append("".join(map(_unquoted, _PIECE.finditer(found[1]))))
        place = found.end()
        if len(words) > _MOST_WORDS:
            raise CallError(f"The command has more than {_MOST_WORDS} words; quote its texts.")
    if command[place:].strip():
        raise CallError("A quote in the command is never closed.")
    return words


def _unquoted(piece: re.Match[str]) -> str:
    plain, escaped, single, double = piece.groups()
    if double is not None:
        return re.sub(r"""\\([\\"$`])|\\\n""", r"\1", double)
    return "" if escaped == "\n" else plain or escaped or single or ""


def _nothing_after(rest: str) -> None:
    if "<function=" in rest:
        raise CallError("There is more than one call. Write exactly one in each turn.")
    if rest.strip() not in ("", "```", "</tool_call>"):
        raise CallError(
            f"One call in each turn, and nothing after it; found {_shown(rest)} after the call."
        )


_READERS = {
    "xml": _read_xml,
    "tagged": _read_tagged,
    "ticks": _read_ticks,
    "tool": _read_tool,
    "none": _read_none,
}
_DECODER = json.JSONDecoder(strict=False)


def _in_our_names(tool: str, arguments: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """A call of another agent's tools in ours; see the module."""
    if tool == _OTHER_EDITOR:
        tool = EDITOR
    if tool == EDITOR and _OTHER_TEXT in arguments and "new_str" not in arguments:
        arguments = {("new_str" if n == _OTHER_TEXT else n): v for n, v in arguments.items()}
    command = arguments.get("command")
    if tool == "bash" and isinstance(command, str) and _SUBMITS.match(command.lstrip()):
        return "submit", {}
    return tool, arguments


# -- what a call must hold -----------------------------------------------------------------


def _checked(tool: str, arguments: Mapping[str, Any]) -> dict[str, Argument]:
    given = {name: value for name, value in arguments.items() if value is not None}
    if tool not in _PARAMETERS:
        raise CallError(f"There is no tool {_shown(tool)}. The tools are {', '.join(TOOLS)}.")
    known = _PARAMETERS[tool]
    for name in given:
        if name not in known:
            takes = f"takes {', '.join(known)}" if known else "takes no parameters"
            raise CallError(f"{tool} has no parameter {_shown(name)}; it {takes}.")
    if tool != EDITOR:
        return {name: _READ[name](name, _needed(tool, given, name)) for name in known}
    command = _line("command", _needed(EDITOR, given, "command"))
    if command not in EDITOR_COMMANDS:
        raise CallError(
            f"{EDITOR} has no command {_shown(command)}. Its commands are "
            f"{', '.join(EDITOR_COMMANDS)}."
        )
    needed, optional = EDITOR_COMMANDS[command]
    for name in needed:
        _needed(f"{EDITOR} {command}", given, name)
    if command == "str_replace":
        given = {"new_str": "", **given}
    used = {"command", *needed, *optional} & given.keys()
    return {name: _READ[name](name, given[name]) for name in known if name in used}


def _needed(what: str, given: Mapping[str, Any], name: str) -> Any:
    if name not in given:
        raise CallError(
            f"{what} needs the parameter {name!r}. Add <parameter={name}>…</parameter>."
        )
    return given[name]


def _line(name: str, value: Any) -> str:
    text = _text(name, value).strip()
    if not text:
        raise CallError(f"The parameter {name!r} is empty.")
    return text


def _text(name: str, value: Any) -> str:
    if isinstance(value, str):
        return utf8_safe(value)
    raise CallError(f"The parameter {name!r} is a text; got {_shown(value)}.")


def _range(name: str, value: Any) -> tuple[int, int]:
    if isinstance(value, str):
        value = value.strip().removeprefix("[").removesuffix("]").replace(",", " ").split(None, 2)
    if isinstance(value, list | tuple) and len(value) == 2:
        return _number(name, value[0]), _number(name, value[1])
    raise CallError(f"{name} is [first line, last line], e.g. [10, 40]; got {_shown(value)}.")


def _number(name: str, value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**9:
        return value
    if isinstance(value, str) and _WHOLE_NUMBER.fullmatch(value.strip()):
        return int(value)
    raise CallError(f"{name} is made of whole numbers; got {_shown(value)}.")


_READ: Mapping[str, Callable[[str, Any], Argument]] = {
    "command": _line,
    "path": _line,
    "view_range": _range,
    "insert_line": _number,
    **dict.fromkeys(_TEXTS, _text),
}


def _written(value: Argument) -> str:
    return f"[{value[0]}, {value[1]}]" if isinstance(value, tuple) else str(value)


def _shown(value: object) -> str:
    """A value as a message shows it: the start of its text."""
    text = value.strip() if isinstance(value, str) else reprlib.repr(value)
    return repr(text if len(text) <= 60 else text[:57] + "…")
