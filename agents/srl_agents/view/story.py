"""A rollout as a story: what each step does in one line, its edits as diffs, the end in words.

Pure functions of the texts that a log of rollouts has.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from srl_env.text.line_diff import line_changes
from srl_env.text.tool_calls import CallError, ToolCall, parse_call
from srl_env.text.tools import CLOSE_CALL, OPEN_CALL

_LONGEST: Final = 160
_CALL: Final = re.compile(r'<function=|\{"name": ')  # the canonical forms
_HEREDOC: Final = re.compile(r"<<-?\s*['\"]?(\w+)['\"]?$")
_NUMBERED: Final = re.compile(r"^ *(\d+)\t(.*)$", re.MULTILINE)
_NAMED: Final = 20


@dataclass(frozen=True, slots=True)
class Told:
    """One call. title: what it does, in one line. body: the text that the title shortens, "" if it
    shows all. diff: what an edit removes and adds, a sign before each line."""

    title: str
    body: str = ""
    diff: str = ""


def told(action: str, observation: str = "") -> Told | None:
    """What an action does; None if it is no tool call.

    observation: its result, which has the line numbers of an edit.
    """
    if action.startswith(OPEN_CALL) and action.endswith(CLOSE_CALL):
        return _told_json(action)
    try:
        return _told_call(parse_call(action), observation) if _CALL.match(action) else None
    except CallError:
        return None


def _told_call(call: ToolCall, observation: str) -> Told:
    values: Mapping[str, Any] = call.arguments
    if call.tool == "bash":
        return _told_command(values["command"])
    if call.tool == "submit":
        return Told("submit")
    command, path = values["command"], values["path"]
    if command == "view":
        lines = "" if "view_range" not in values else ":{}–{}".format(*values["view_range"])
        return Told(f"view {path}{lines.replace('–-1', '–end')}")
    if command == "create":
        return Told(f"create {path}", diff=_diff("", values["file_text"]))
    if command == "insert":
        return Told(f"insert {path}:{values['insert_line']}", diff=_diff("", values["new_str"]))
    if command == "str_replace":
        old, new = values["old_str"], values["new_str"]
        return Told(f"edit {path}{_line_of(new, observation)}", diff=_diff(old, new))
    return Told(f"undo the last edit of {path}")


def _told_command(command: str) -> Told:
    """The first line; of a program that is given line by line, its last line too."""
    lines = command.strip().split("\n")
    found = _HEREDOC.search(lines[0])
    if found and len(lines) > 2 and lines[-1] == found[1]:
        program = lines[0][: found.start()].strip().removesuffix("-").strip()
        return Told(_short(f"bash: {program} … {lines[-2].strip()}"), command)
    title = _short(f"bash: {lines[0]}")
    whole = len(lines) == 1 and not title.endswith(" …")
    return Told(title if whole else f"{title.removesuffix(' …')} …", "" if whole else command)


def _told_json(action: str) -> Told | None:
    """A call of a tool that an environment declares: ``name(argument=value, …)``."""
    try:
        call = json.loads(action.removeprefix(OPEN_CALL).removesuffix(CLOSE_CALL))
        given = [
            f"{name}={json.dumps(value, ensure_ascii=False)}"
            for name, value in call["arguments"].items()
        ]
        title = f"{call['name']}({', '.join(given)})"
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return Told(_short(title), title if len(title) > _LONGEST else "")


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"


def _diff(old: str, new: str) -> str:
    before, after = (text.split("\n") if text else [] for text in (old, new))
    return "\n".join(sign + line for sign, line in line_changes(before, after))


def _line_of(new: str, observation: str) -> str:
    """ ":157" if the numbered lines of an observation show the new text; else ""."""
    lines = new.strip("\n").split("\n")
    shown = _NUMBERED.findall(observation)
    texts = [line for _, line in shown]
    for place, (number, line) in enumerate(shown):
        if line == lines[0] and texts[place : place + len(lines)] == lines:
            return f":{number}"
    return ""


def result(steps: Sequence[Mapping[str, Any]], place: int) -> str:
    """What the policy was shown after the step at that place; "" if that is not known."""
    if place + 1 == len(steps):
        return ""
    *before, last = steps[place + 1]["messages"]
    answered = bool(before) and before[-1]["role"] == "assistant" and last["role"] != "assistant"
    return str(last["content"] or "") if answered else ""


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of a rollout. words: the verdict in one sentence. tests: (name, what is wrong) of
    tests and cases that do not hold. diff: the change that was judged, if there is one."""

    words: str
    tests: tuple[tuple[str, str], ...] = ()
    diff: str = ""


def ending(verdict: Mapping[str, Any]) -> Ending:
    """A verdict in words."""
    right = "Right" if verdict["correct"] else "Wrong"
    if "fail_to_pass" not in verdict:
        answer = verdict.get("answer")
        return Ending(f"{right}." if answer is None else f"{right}: the answer is {answer}.")
    cases = verdict.get("cases", {})
    wrong = list(_wrong(cases, "gives a wrong result"))
    if wrong:
        reasons = [_counted(cases, "hidden calls give the right result"), "so no test was run"]
    else:
        wrong = [*_wrong(verdict["fail_to_pass"], "still fails")]
        wrong += _wrong(verdict["pass_to_pass"], "does not pass any more")
        reasons = [_counted(verdict.get(name, {}), what) for name, what in _COUNTED]
    reasons += [str(reason) for reason in verdict.get("tamper", ())]
    reasons += [f"{d['path']} does not count ({d['reason']})" for d in verdict.get("dropped", ())]
    said = "; ".join(filter(None, reasons))
    words = "Resolved" if verdict["correct"] else "Not resolved"
    return Ending(
        f"{words}: {said}." if said else f"{words}.", tuple(wrong), str(verdict.get("diff", ""))
    )


_COUNTED: Final = (
    ("fail_to_pass", "tests of the bug pass"),
    ("pass_to_pass", "other tests pass"),
    ("cases", "hidden calls give the right result"),
)


def _counted(found: Mapping[str, bool], what: str) -> str:
    return f"{sum(found.values())} of {len(found)} {what}" if found else ""


def _wrong(found: Mapping[str, bool], what: str) -> Sequence[tuple[str, str]]:
    names = [name for name, holds in found.items() if not holds]
    more = [(f"and {len(names) - _NAMED} more", what)] if len(names) > _NAMED else []
    return [(name, what) for name in names[:_NAMED]] + more
