"""``accepts`` of repository tasks: does a tool call do what the expert's does? In three levels.

A call is a view, a search, an edit, another shell command, or a submission; ``cat F``, ``head F``
and ``sed -n a,bp F`` are views. Each level includes those before it:

- tool: the same kind of call.
- target: the same place. Views and edits: the last two parts of the paths are equal, and for edits
  the editor's command. Views: at least 80 % of the expert's lines are shown; no range is the whole
  file. Searches and commands: the same program (``python -m pytest`` is ``pytest``), a path in
  common if both have any, and a similarity of at least 0.3.
- content: for edits s is the smaller of the similarities of old and new text; for searches and
  commands it is the similarity. s ≥ 0.8 is worth 1, 0.4 … 0.8 is worth 0.5 … 1, less is worth 0.
  An edit longer than the expert's is multiplied by 1 − 0.1·min(excess/500, 1).

Range: {0} ∪ [0.45, 1] at level content, {0, 1} at the others; 1 for the expert's own call. Blind
spots: a wrong edit close to the expert's is accepted; another way to the same fix is not; a view of
a whole file always is.
Source: PivotRL, arXiv:2603.21383, as coded in NeMo Gym 0.5 (swe_pivot, "continuous"). There the
penalty is for the whole length of an edit, so that the expert's own is worth less than 1. The kinds
of shell commands are ours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from srl_env.rewards.measures.tool_calls import (
    WORKSPACES,
    lines_of,
    relative,
    text_similarity,
    without_workspace,
)
from srl_env.rewards.record import StepRecord
from srl_env.rewards.similarity import step_similarity
from srl_env.text.tool_calls import EDITOR, CallError, ToolCall, parse_call

Level = Literal["tool", "target", "content"]
Kind = Literal["view", "search", "edit", "shell", "submit"]

LEAST_OVERLAP = 0.8
LEAST_SIMILARITY = 0.3
ENOUGH, HALF = 0.8, 0.4
LONGEST_EXCESS = 500
MAX_COMMAND = 2_000
"""How many characters of a command are read for its program and its paths."""

_SEARCHES = frozenset({"grep", "rg", "ag", "ack", "find", "ls", "tree", "fd"})
_VIEW = re.compile(
    r"(?:cat|nl(?: -ba)?|head|sed -n ['\"]?(?P<first>[0-9]{1,9}),(?P<last>[0-9]{1,9})p['\"]?)"
    r"\s+(?P<path>[\w./~-]+)"
)
_PYTHON = re.compile(r"(?:[\w./-]*/)?python[0-9.]*(?: -[a-ln-zA-Z]\w*)* -m\s+(?P<module>[\w.]+)")
_VERB = re.compile(r"(?:\w+=\S*\s+)*(?P<verb>[\w./+-]+)")
_PATH = re.compile(r"(?<![^\s='\"(])(?:[\w.-]*/[\w./-]+|[\w-]+\.[A-Za-z]\w{0,9})")


@dataclass(frozen=True, slots=True)
class Intent:
    """What a call is about. place: the end of its path. lines: of a view. verb: the program of a
    command, or the editor's command. paths: ends of the paths in a command."""

    kind: Kind
    place: str = ""
    lines: tuple[int, int] = (1, -1)
    verb: str = ""
    paths: frozenset[str] = frozenset()
    command: str = ""


def accepts_call(action: str, context: StepRecord, level: Level = "content") -> float:
    """How acceptable a call is in place of the expert's; 0 for a text that is no call."""
    try:
        own, expert = parse_call(action), parse_call(context.expert_action or "")
    except CallError:
        return 0.0
    return acceptance(own, expert, level)


def accepts_tool(action: str, context: StepRecord) -> float:
    """1 for a call of the same kind."""
    return accepts_call(action, context, "tool")


def accepts_target(action: str, context: StepRecord) -> float:
    """1 for a call of the same kind with the same target."""
    return accepts_call(action, context, "target")


def acceptance(own: ToolCall, expert: ToolCall, level: Level = "content") -> float:
    """How acceptable a call is in place of the expert's; see the module."""
    if own == expert:
        return 1.0
    one, other = intent(own), intent(expert)
    if one.kind != other.kind:
        return 0.0
    if level == "tool":
        return 1.0
    if not _same_target(one, other):
        return 0.0
    return _content(own, expert, one, other) if level == "content" else 1.0


def intent(call: ToolCall) -> Intent:
    """What a call is about."""
    if call.tool == EDITOR:
        place, command = _end(str(call.arguments["path"])), str(call.arguments["command"])
        if command == "view":
            return Intent("view", place, lines_of(call.arguments.get("view_range")))
        return Intent("edit", place, verb=command)
    if call.tool != "bash":
        return Intent("submit")
    command = without_workspace(str(call.arguments["command"]), WORKSPACES).strip()
    if view := _VIEW.fullmatch(command[:MAX_COMMAND]):
        first, last = (int(view[name] or 0) for name in ("first", "last"))
        lines = (first, last) if first else lines_of(None)
        return Intent("view", _end(view["path"]), lines, command=command)
    verb = _verb(command[:MAX_COMMAND])
    paths = frozenset(_end(path) for path in _PATH.findall(command[:MAX_COMMAND]))
    return Intent("search" if verb in _SEARCHES else "shell", "", (1, -1), verb, paths, command)


def _verb(command: str) -> str:
    if module := _PYTHON.match(command):
        return module["module"]
    found = _VERB.match(command)
    return found["verb"].rpartition("/")[2] if found else ""


def _end(path: str) -> str:
    """The last two parts of a path in the workspace."""
    return "/".join(relative(path, WORKSPACES).strip("/").split("/")[-2:])


def _same_target(own: Intent, expert: Intent) -> bool:
    if own.kind == "submit":
        return True
    if own.kind == "view":
        return own.place == expert.place and _covers(own.lines, expert.lines)
    if own.kind == "edit":
        return (own.place, own.verb) == (expert.place, expert.verb)
    if own.verb != expert.verb or (own.paths and expert.paths and not own.paths & expert.paths):
        return False
    return _similarity(own.command, expert.command) >= LEAST_SIMILARITY


def _covers(own: tuple[int, int], expert: tuple[int, int]) -> bool:
    """Whether enough of the expert's lines are shown."""
    both = min(own[1], expert[1]) - max(own[0], expert[0]) + 1
    return both >= LEAST_OVERLAP * (expert[1] - expert[0] + 1)


def _content(own: ToolCall, expert: ToolCall, one: Intent, other: Intent) -> float:
    if one.kind in ("view", "submit"):
        return 1.0
    if one.kind != "edit":
        return graded(_similarity(one.command, other.command))
    names = [name for name in ("old_str", "new_str", "file_text") if name in expert.arguments]
    pairs = [(str(own.arguments[name]), str(expert.arguments[name])) for name in names]
    excess = sum(len(a) - len(b) for a, b in pairs)
    worst = min((text_similarity(a, b) for a, b in pairs), default=1.0)
    return graded(worst) * (1.0 - 0.1 * min(max(excess, 0) / LONGEST_EXCESS, 1.0))


def graded(similarity: float) -> float:
    """1 from ``ENOUGH`` on, 0.5 at ``HALF``, linear between them, 0 below."""
    if similarity >= ENOUGH:
        return 1.0
    if similarity < HALF:
        return 0.0
    return 0.5 + 0.5 * (similarity - HALF) / (ENOUGH - HALF)


def _similarity(command: str, expert_command: str) -> float:
    if "\n" in command or "\n" in expert_command:
        return text_similarity(command, expert_command)
    return step_similarity(command, expert_command)
