"""Tool calls: what a policy writes to act in a repository, read and written.

There are three tools, those people know from SWE-agent: ``bash(command)``,
``str_replace_editor(command, path, …)`` with the commands view, create, str_replace, insert and
undo_edit, and ``submit()``. A turn makes exactly one call, in any of three forms::

    <function=bash>                       xml, the canonical form
    <parameter=command>ls -la</parameter>
    </function>

    ```bash                               ticks: one fenced block, which is a command; in it
    ls -la                                `str_replace_editor view a.py` and `submit` are calls
    ```

    {"name": "bash", "arguments": {"command": "ls -la"}}       tool: JSON, also OpenAI's

The tool form may stand between ``<tool_call>`` tags. Reading takes linear time, whatever the text.
Running calls is no concern of this module.
"""

from __future__ import annotations

import json
import re
import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from srl_env.errors import UserError
from srl_env.problem import ExpertStep
from srl_env.text.fences import fenced_blocks
from srl_env.text.format import CLOSE, OPEN, ParsedStep
from srl_env.text.unicode import utf8_safe

Argument = str | int | tuple[int, int]

EDITOR = "str_replace_editor"
TOOLS = ("bash", EDITOR, "submit")
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
_EDITOR_PARAMETERS = ("command", "path", "view_range", "insert_line", *_TEXTS)

_TAGS = ("<function=", "</function>", "<parameter=", "</parameter>")
_FUNCTION = re.compile(r"^[ \t]*<function=", re.MULTILINE)
_NAME = re.compile(r"<function=([^<>\s]{1,64})>")
_PARAMETER = re.compile(r"\s*<parameter=([^<>\s]{1,64})>")
_PARAMETER_END = re.compile(r"</parameter>(?=\s*(?:<parameter=[^<>\s]{1,64}>|\Z))")
_FENCE = re.compile(r"^```[^\n`]*$", re.MULTILINE)
_OBJECT = re.compile(r"^[ \t]*(?=\{|\[\{)", re.MULTILINE)
_SHELLS = ("", "bash", "sh", "shell")
_WORD = re.compile(
    r"""\s*((?:[^\s'"\\]++|\\.|'[^']*+'|"(?:[^"\\]++|\\.)*+")++)(?=\s|\Z)""", re.DOTALL
)
_PIECE = re.compile(r"""([^\s'"\\]+)|\\(.)|'([^']*)'|"((?:[^"\\]++|\\.)*+)\"""", re.DOTALL)
_MOST_WORDS = 20
_WHOLE_NUMBER = re.compile(r"-?\d{1,9}", re.ASCII)


class CallError(UserError):
    """A text is no tool call; the message is for the policy: what was wrong, what to write."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call of a tool: always a valid one, in canonical form.

    arguments: texts as they are meant, lone surrogates replaced (``utf8_safe``); ``view_range``
    is (first, last) with last −1 for the end of the file, ``insert_line`` a number; both are also
    taken as text. ``new_str`` of str_replace defaults to "". Parameters of the editor that its
    command does not use are left out, and so are those that are None.
    Raises ``CallError`` for an unknown tool or parameter, a missing or a wrong one.
    """

    tool: str
    arguments: Mapping[str, Argument]

    def __post_init__(self) -> None:
        object.__setattr__(self, "arguments", _checked(self.tool, self.arguments))

    def render(self) -> str:
        """The call as text, which ``parse_call`` reads as an equal one.

        In the xml form; in the tool form where a value has one of that form's tags in it.
        ``file_text``, ``old_str`` and ``new_str`` stand on lines of their own, as in SWE-smith.
        """
        values = {name: _written(value) for name, value in self.arguments.items()}
        if any(tag in value for value in values.values() for tag in _TAGS):
            text = json.dumps({"name": self.tool, "arguments": values}, ensure_ascii=False)
            return text.replace("<", "\\u003c")
        lines = [
            f"<parameter={name}>{_framed(name, value)}</parameter>"
            for name, value in values.items()
        ]
        return "\n".join([f"<function={self.tool}>", *lines, "</function>"])


def parse_call(text: str) -> ToolCall:
    """The one call in a text, which may have prose before it and nothing after it.

    Raises ``CallError`` where there is no call, more than one, or a wrong one.
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


@dataclass(frozen=True, slots=True)
class ToolCalls:
    """The completion format of tool calls: a thought in tags or in prose, then one call.

    The action of a completion that kept the form is the canonical call alone
    (``ToolCall.render``). Of any other it is the text without its thinking, from where the
    call begins if that can be told: ``parse_call`` of it says what was wrong.
    require_thought: a call without any thought before it breaks the form.
    """

    require_thought: bool = False

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

    def render(self, step: ExpertStep) -> str:
        """The thought between tags where there is one, then the action as it is."""
        if step.thought is None and not self.require_thought:
            return step.action
        thought = (step.thought or "…").replace(OPEN, "").replace(CLOSE, "")
        return f"{OPEN}{thought}{CLOSE}\n{step.action}"


# -- where the call is ---------------------------------------------------------------------

_Form = Literal["xml", "tagged", "ticks", "tool", "none"]


def _find_form(text: str) -> tuple[_Form, int]:
    """The form that a text's call is in, and where the call begins."""
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
    """What stands in the tags, what comes after them, and whether they are never closed.

    The opening tag may be missing, as where it is part of the prompt.
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
    """The prose before a call, without what only opens the call."""
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
    """The parameters between a call's tags; a name given twice is an error."""
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
        raise CallError("One call in each turn, and nothing after it. Leave out what follows.")
    return _read_tool(inside)


def _read_tool(text: str) -> ToolCall:
    try:
        value, end = _DECODER.raw_decode(text := text.strip())
    except json.JSONDecodeError as error:
        raise CallError(
            f"The call is no JSON: {error.msg} at character {error.pos + 1}. "
            f"Mend it, or write the call as\n{EXAMPLE}"
        ) from None
    except (RecursionError, ValueError):
        raise CallError("The call's JSON is nested too deep or has too large a number.") from None
    _nothing_after(text[end:])
    return call_from_json(value)


def call_from_json(value: Any) -> ToolCall:
    """The call in decoded JSON: ``{"name", "arguments"}``, or OpenAI's ``{"function": …}``, a
    list of one such, or ``{"tool_calls": […]}``; arguments may themselves be JSON text.

    Raises ``CallError`` where it is none of these.
    """
    return ToolCall(*name_and_arguments(value))


def name_and_arguments(value: Any) -> tuple[str, Mapping[str, Any]]:
    """The name and the arguments of the call in decoded JSON, whatever tool that is; see
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
        arguments = _decoded_arguments(arguments)
    if not isinstance(arguments, Mapping | None):
        raise CallError('"arguments" is an object with a value for each parameter.')
    return value["name"], arguments or {}


def _decoded_arguments(text: str) -> Any:
    try:
        return json.loads(text or "{}", strict=False)
    except (ValueError, RecursionError):
        raise CallError('"arguments" is a text that is no JSON object.') from None


def _read_ticks(text: str) -> ToolCall:
    blocks = fenced_blocks(text)
    if not blocks:
        raise CallError(
            "The block is never closed. End it with ``` on a line of its own; where the command "
            f"itself has ``` in it, write it as\n{EXAMPLE}"
        )
    if len(blocks) > 1:
        raise CallError(
            "There is more than one fenced block. Write exactly one call in each turn; where the "
            f"command itself has ``` in it, write it as\n{EXAMPLE}"
        )
    (block,) = blocks
    _nothing_after(text[block.end :])
    if block.language == "json":
        return _read_tool(block.content)
    if block.language not in _SHELLS:
        raise CallError(f"A fenced block is a bash command; this one is marked {block.language!r}.")
    return parse_command(block.content)


def parse_command(command: str) -> ToolCall:
    """The call that a typed command makes: of the editor, ``submit``, or else of bash.

    The editor's is ``str_replace_editor COMMAND PATH [--PARAMETER VALUE …]``, quoted as in a
    shell; ``--view_range`` takes two numbers. Raises ``CallError`` where it is none.
    """
    command = command.strip()
    if command in ("submit", "submit -f", "submit --force"):
        return ToolCall("submit", {})
    if command.split(maxsplit=1)[:1] != [EDITOR]:
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
        if not words[place].startswith("--") or name not in _EDITOR_PARAMETERS:
            raise CallError(
                f"{EDITOR} is called as {EDITOR} COMMAND PATH --PARAMETER VALUE …; "
                f"{_shown(words[place])} is no parameter of it."
            )
        count = 0 if given else 2 if _is_pair(name, words[place + 1 : place + 3]) else 1
        arguments[name] = value if given else " ".join(words[place + 1 : place + 1 + count])
        place += 1 + count
    return ToolCall(EDITOR, arguments)


def _is_pair(name: str, words: list[str]) -> bool:
    return name == "view_range" and len(words) == 2 and all(map(_WHOLE_NUMBER.fullmatch, words))


def _shell_words(command: str) -> list[str]:
    """The words of a command line, unquoted as a shell does without expanding anything."""
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
        return re.sub(r"""\\([\\"$`\n])""", _unescaped, double)
    if escaped == "\n":
        return ""
    return plain or escaped or single or ""


def _unescaped(escape: re.Match[str]) -> str:
    return "" if escape[1] == "\n" else escape[1]


def _nothing_after(rest: str) -> None:
    """Only what closes the call's own wrapping may follow it."""
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


# -- what a call must hold -----------------------------------------------------------------


def _checked(tool: str, arguments: Mapping[str, Any]) -> dict[str, Argument]:
    """The arguments in canonical order and types."""
    given = {name: value for name, value in arguments.items() if value is not None}
    if tool == "bash":
        _known(tool, given, ("command",))
        return {"command": _line("command", _needed("bash", given, "command"))}
    if tool == "submit":
        _known(tool, given, ())
        return {}
    if tool != EDITOR:
        raise CallError(f"There is no tool {_shown(tool)}. The tools are {', '.join(TOOLS)}.")
    _known(tool, given, _EDITOR_PARAMETERS)
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
    used = [name for name in ("command", *needed, *optional) if name in given]
    return {name: _typed(name, given[name]) for name in _EDITOR_PARAMETERS if name in used}


def _known(tool: str, given: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for name in given:
        if name not in known:
            takes = f"takes {', '.join(known)}" if known else "takes no parameters"
            raise CallError(f"{tool} has no parameter {_shown(name)}; it {takes}.")


def _needed(what: str, given: Mapping[str, Any], name: str) -> Any:
    if name not in given:
        raise CallError(
            f"{what} needs the parameter {name!r}. Add <parameter={name}>…</parameter>."
        )
    return given[name]


def _typed(name: str, value: Any) -> Argument:
    if name == "view_range":
        return _range(value)
    if name == "insert_line":
        return _number(name, value)
    if name in _TEXTS:
        return _text(name, value)
    return _line(name, value)


def _line(name: str, value: Any) -> str:
    """A text that is not empty, without the white space around it."""
    text = _text(name, value).strip()
    if not text:
        raise CallError(f"The parameter {name!r} is empty.")
    return text


def _text(name: str, value: Any) -> str:
    if isinstance(value, str):
        return utf8_safe(value)
    raise CallError(f"The parameter {name!r} is a text; got {_shown(value)}.")


def _range(value: Any) -> tuple[int, int]:
    if isinstance(value, str):
        value = value.strip().removeprefix("[").removesuffix("]").replace(",", " ").split(None, 2)
    if isinstance(value, list | tuple) and len(value) == 2:
        return _number("view_range", value[0]), _number("view_range", value[1])
    raise CallError(f"view_range is [first line, last line], e.g. [10, 40]; got {_shown(value)}.")


def _number(name: str, value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**9:
        return value
    if isinstance(value, str) and _WHOLE_NUMBER.fullmatch(value.strip()):
        return int(value)
    raise CallError(f"{name} is made of whole numbers; got {_shown(value)}.")


def _written(value: Argument) -> str:
    return f"[{value[0]}, {value[1]}]" if isinstance(value, tuple) else str(value)


def _framed(name: str, value: str) -> str:
    return f"\n{value}\n" if name in _TEXTS else value


def _shown(value: object) -> str:
    """A value as a message shows it: the beginning of its text."""
    text = value.strip() if isinstance(value, str) else reprlib.repr(value)
    return repr(text if len(text) <= 60 else text[:57] + "…")
