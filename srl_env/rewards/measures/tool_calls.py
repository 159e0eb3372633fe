"""``tool-calls`` of repository tasks: two calls compared argument by argument.

===========================  ================================================================
another tool                 0
no valid call                0
the same tool                0.1 + 0.9 × the similarity of the arguments:
bash                         the command
submit                       1
str_replace_editor           0.2 for its command + 0.3 × the path + 0.5 × the mean of the other
                             arguments; 0.4 + 0.6 × the path if there are no others
… with another command       0.3 × the path
===========================  ================================================================

- Paths are compared without the workspace folder: 1 if equal, else half the text similarity.
- Commands are compared without the workspace folder and ``cd WORKSPACE &&``.
- Texts of several lines are compared by line. Equal lines match; what is left of both texts is
  compared by character.
- View ranges are compared by their overlap; no range is the whole file.
- Line numbers are compared by their distance.

Range: [0, 1]; 1 for the same call only, 0 for another tool and for a text that is no call. Blind
spots: a wrong edit close to the expert's scores high, and another command with the same effect
scores low. Environments with their own tools have a measure of the same name (``json_calls``).
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Mapping, Sequence

from cydifflib import SequenceMatcher

from srl_env.rewards.record import StepRecord
from srl_env.rewards.similarity import matched_characters, step_similarity
from srl_env.text.tool_calls import EDITOR, Argument, CallError, ToolCall, parse_call

WORKSPACES = ("/testbed", "/workspace", "/work", "/repo")
SAME_TOOL = 0.1
MAX_LINES = 2_000
MAX_EQUAL_PAIRS = 20_000

_LAST_LINE = 10_000  # the end of a view to the end of a file


def tool_calls(action: str, context: StepRecord) -> float:
    """How similar the call is to the expert's, in the usual workspaces."""
    return call_similarity(action, context.expert_action or "")


def call_similarity(
    action: str, expert_action: str, workspaces: Sequence[str] = WORKSPACES
) -> float:
    """The similarity of an action to the expert's, in [0, 1]; exactly 1 for the same call.

    Both are texts that ``parse_call`` reads; any other text scores 0. The module's docstring has
    the weights. workspaces: folders that paths and commands are relative to.
    Takes at most a few tenths of a second: of each argument the first 2,000 lines are compared,
    and the first 10,000 characters of lines without an equal one. The rest counts as different.
    """
    try:
        own, expert = parse_call(action), parse_call(expert_action)
    except CallError:
        return 0.0
    if own.tool != expert.tool:
        return 0.0
    if own == expert:
        return 1.0
    return SAME_TOOL + (1.0 - SAME_TOOL) * _arguments(own, expert, workspaces)


def text_similarity(text: str, expert_text: str) -> float:
    """The similarity of two texts in [0, 1], line by line; white space counts.

    2 × matching characters / characters of both, line ends included. Equal lines match in order.
    The characters of the other lines match as in ``step_similarity``.
    """
    if text == expert_text:
        return 1.0
    own, expert = text.split("\n"), expert_text.split("\n")
    rest, expert_rest, matched = _unequal_lines(own, expert)
    matched += matched_characters("\n".join(rest), "\n".join(expert_rest))
    return 2.0 * matched / (len(text) + len(expert_text) + 2)


def _arguments(own: ToolCall, expert: ToolCall, workspaces: Sequence[str]) -> float:
    if own.tool != EDITOR:
        return _command(own.arguments["command"], expert.arguments["command"], workspaces)
    path = _path(own.arguments["path"], expert.arguments["path"], workspaces)
    if own.arguments["command"] != expert.arguments["command"]:
        return 0.3 * path
    names = sorted({*own.arguments, *expert.arguments} - {"command", "path"})
    if not names:
        return 0.4 + 0.6 * path
    values = [_value(name, own.arguments, expert.arguments) for name in names]
    return 0.2 + 0.3 * path + 0.5 * sum(values) / len(values)


def _command(own: object, expert: object, workspaces: Sequence[str]) -> float:
    texts = [without_workspace(str(command), workspaces) for command in (own, expert)]
    if any("\n" in text for text in texts):
        return text_similarity(*texts)
    return step_similarity(*texts)


def without_workspace(command: str, workspaces: Sequence[str]) -> str:
    """A command as typed in the workspace."""
    folder = "|".join(map(re.escape, workspaces)) or r"(?!)"
    command = re.sub(rf"\A\s*cd\s+(?:{folder})/?\s*&&\s*", "", command)
    return re.sub(rf"(?<![\w./~-])(?:{folder})/(?=[\w.])", "", command)


def _path(own: object, expert: object, workspaces: Sequence[str]) -> float:
    paths = [relative(str(path), workspaces) for path in (own, expert)]
    return 1.0 if paths[0] == paths[1] else 0.5 * step_similarity(*paths)


def relative(path: str, workspaces: Sequence[str]) -> str:
    """A normalised path relative to the workspace."""
    path = posixpath.normpath(path)
    for folder in workspaces:
        if path == folder or path.startswith(f"{folder}/"):
            return path[len(folder) + 1 :] or "."
    return path


def _value(name: str, own: Mapping[str, Argument], expert: Mapping[str, Argument]) -> float:
    if name == "view_range":
        return _overlap(own.get(name), expert.get(name))
    if name == "insert_line":
        return 1.0 / (1 + abs(int(str(own[name])) - int(str(expert[name]))))
    return text_similarity(str(own[name]), str(expert[name]))


def _overlap(own: object, expert: object) -> float:
    """The lines in both ranges over the lines in either; None is the whole file."""
    (a, b), (c, d) = lines_of(own), lines_of(expert)
    both = min(b, d) - max(a, c) + 1
    return max(0, both) / (max(b, d) - min(a, c) + 1)


def lines_of(view_range: object) -> tuple[int, int]:
    """(first, last) line of a view range; None is the whole file."""
    first, last = view_range if isinstance(view_range, tuple) else (1, -1)
    return first, max(first, _LAST_LINE if last == -1 else last)


def _unequal_lines(own: list[str], expert: list[str]) -> tuple[list[str], list[str], int]:
    """The unequal lines of each text, and the number of characters in the equal ones."""
    numbers, expert_numbers = _numbered(own[:MAX_LINES], expert[:MAX_LINES])
    matcher = SequenceMatcher(None, numbers, expert_numbers, False)
    rest, expert_rest, matched = list[str](), list[str](), 0
    i = j = 0
    for start, expert_start, size in matcher.get_matching_blocks():
        rest += own[i:start]
        expert_rest += expert[j:expert_start]
        i, j = start + size, expert_start + size
        matched += sum(len(line) + 1 for line in own[start:i])
    return rest, expert_rest, matched


def _numbered(own: list[str], expert: list[str]) -> tuple[list[int], list[int]]:
    """The lines as numbers, equal for equal lines, up to a number of equal pairs.

    Texts that repeat few lines have so many equal pairs that matching them takes minutes. Their
    most common lines count as different.
    """
    counts, expert_counts = Counter(own), Counter(expert)
    shared = [line for line in counts if line in expert_counts]
    shared.sort(key=lambda line: counts[line] * expert_counts[line])
    number_of, pairs = dict[str, int](), 0
    for number, line in enumerate(shared):
        pairs += counts[line] * expert_counts[line]
        if pairs > MAX_EQUAL_PAIRS:
            break
        number_of[line] = number
    return [number_of.get(line, -1) for line in own], [number_of.get(line, -2) for line in expert]
