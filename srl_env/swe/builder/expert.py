"""An expert's solution of a task: each step is executed, and its observation recorded.

Reproduce the bug, search for the called function, view it, follow the calls to the bug, edit, run
the example again, run the visible tests, submit. The expert knows the bug; its steps are those of
someone who finds it by reading, starting from the statement.
"""

from __future__ import annotations

import ast
import re
import shlex
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from srl_env.problem import ExpertStep
from srl_env.seeding import stream
from srl_env.swe.builder.edits import replacements
from srl_env.swe.builder.reproduction import Reproduction
from srl_env.swe.builder.script import Outcome
from srl_env.swe.builder.source import Function, Source
from srl_env.swe.tools import Workbench
from srl_env.text.tool_calls import EDITOR, Argument, ToolCall

MAX_HOPS: Final = 4
_MAX_VIEW: Final = 60
_AROUND: Final = 3
_THOUGHTS: Final[Mapping[str, Sequence[str]]] = {
    "reproduce": (
        "I run the example from the report to see it for myself.",
        "Can I reproduce it? I run the reported code.",
        "I begin by reproducing the problem.",
    ),
    "reproduce next": (
        "Next, the other problem in the report: I run its example.",
        "On to the next point of the report; does it happen here too?",
    ),
    "search": (
        "It happens here too. Where is `{name}` defined?",
        "Reproduced. I search for `{name}`.",
        "That is what the report says. I look for the definition of `{name}`.",
    ),
    "search next": (
        "`{name}` is called on the way there; where is it?",
        "This relies on `{name}`, so I look at that next.",
        "The work is done in `{name}`. I search for it.",
    ),
    "view": (
        "I read `{name}`.",
        "It is in {path}, line {line}. I view it.",
        "Let me see what `{name}` does.",
    ),
    "view traced": (
        "The traceback goes through {path}, line {line}. I view `{name}` there.",
        "Line {line} of {path} is where it breaks; let me read it.",
    ),
    "edit": (
        "Here is the bug: this cannot give what the report expects. I correct it.",
        "This is wrong in `{name}`; it explains the output. I fix it.",
        "Found it. I change this part of `{name}` and leave the rest alone.",
    ),
    "edit next": (
        "The same fix needs another change here.",
        "A second place belongs to it.",
    ),
    "run again": (
        "Does the example give the correct output now?",
        "I run the example again to check the fix.",
        "Now the reported code should give what is expected.",
    ),
    "test": (
        "It does. I run the tests that are here, so that nothing else broke.",
        "Correct. Do the other tests still pass?",
        "Fixed. Now the test suite.",
    ),
    "submit": ("All is well; I submit.", "Done: I submit the change.", "Nothing else is needed."),
}


class ExpertError(Exception):
    """An observation is not what it must be; the task is dropped."""


@dataclass(frozen=True, slots=True)
class Repair:
    """One bug: how it shows, its file and function, and its first line."""

    shown: Reproduction
    path: str
    function: str
    line: int


def solve(
    bench: Workbench,
    repairs: Sequence[Repair],
    buggy: Mapping[str, str],
    correct: Mapping[str, str],
    *,
    tests: Sequence[str],
    key: str,
    seed: int,
) -> tuple[ExpertStep, ...]:
    """The steps of a solution, made in a workspace.

    buggy: the files with bugs, path → text. correct: the correct text of every file.
    tests: test files of the workspace. key: names the task; it and the seed choose the wording.
    Raises ExpertError where an observation is not what it must be.
    """
    expert = _Expert(bench, {**correct, **buggy}, correct, stream("expert", key, seed))
    for number, repair in enumerate(repairs):
        expert.fix(repair, " next" if number else "")
    if tests:
        expert.run_tests(tests)
    expert.do("submit", {}, "submit")
    return tuple(expert.steps)


def without_home(observation: str) -> str:
    """An observation whose tracebacks name the standard library's usual folder.

    Its folder on the builder's machine is private, and nothing to learn.
    """
    major, minor = sys.version_info[:2]
    return observation.replace(sysconfig.get_path("stdlib"), f"/usr/lib/python{major}.{minor}")


class _Expert:
    def __init__(
        self,
        bench: Workbench,
        files: dict[str, str],
        correct: Mapping[str, str],
        rng: np.random.Generator,
    ) -> None:
        self._bench, self._files, self._correct, self._rng = bench, files, correct, rng
        self._traceback = ""
        self._seen: list[tuple[str, int, int]] = []
        self.steps: list[ExpertStep] = []

    def do(self, tool: str, arguments: Mapping[str, Argument], why: str, **words: object) -> str:
        """Makes one call; records it with a thought and its observation."""
        call, thoughts = ToolCall(tool, arguments), _THOUGHTS[why]
        thought = thoughts[int(self._rng.integers(len(thoughts)))].format(**words)
        observation = without_home(self._bench.call(call))
        self.steps.append(ExpertStep(call.render(), thought=thought, observation=observation))
        return observation

    def fix(self, repair: Repair, next_: str) -> None:
        """From the example that fails to the example that works."""
        example: dict[str, Argument] = {"command": self._command(repair.shown.script)}
        self._traceback = self.do("bash", example, f"reproduce{next_}")
        _require(repair.shown.actual, self._traceback)
        self._find(repair)
        self._edit(repair)
        _require(repair.shown.expected, self.do("bash", example, "run again"))

    def run_tests(self, tests: Sequence[str]) -> None:
        command = f"python -m pytest -qq {' '.join(map(shlex.quote, tests))}"
        if not self.do("bash", {"command": command}, "test").rstrip().endswith("[100%]"):
            raise ExpertError("the visible tests do not pass")

    def _find(self, repair: Repair) -> None:
        """Searches and views, from the example's call to the buggy function."""
        hops = self._hops(repair)
        for number, (path, function) in enumerate(hops):
            bug = repair.line if number == len(hops) - 1 else None
            first, last = self._window(path, function, bug)
            if any(p == path and a <= first and last <= b for p, a, b in self._seen):
                continue
            name, line = function.node.name, self._traced(path, function)
            if not line:
                self._search(function, path, "search next" if number else "search")
            view: dict[str, Argument] = {
                "command": "view",
                "path": path,
                "view_range": (first, last),
            }
            words = {"name": name, "path": path, "line": line or function.node.lineno}
            self.do(EDITOR, view, "view traced" if line else "view", **words)
            self._seen.append((path, first, last))

    def _hops(self, repair: Repair) -> list[tuple[str, Function]]:
        """The functions from the example's call to the bug, at most MAX_HOPS."""
        bug = repair.path, Source(self._files[repair.path]).function(repair.function)
        if self._traced(*bug):
            return [bug]
        hops: dict[tuple[str, str], tuple[str, Function]] = {}
        for path, line in repair.shown.calls:
            text = self._files.get(path)
            function = None if text is None else Source(text).function_at(line)
            if function is not None and (path, function.name) != (repair.path, repair.function):
                hops[(path, function.name)] = (path, function)
        found = [*hops.values(), bug]
        return found if len(found) <= MAX_HOPS else [found[0], *found[1 - MAX_HOPS :]]

    def _window(self, path: str, function: Function, bug: int | None) -> tuple[int, int]:
        lines = len(self._files[path].splitlines())
        first, last = max(1, function.first - _AROUND), min(lines, function.last + _AROUND)
        if last - first >= _MAX_VIEW:
            middle = bug or function.first + _MAX_VIEW // 2
            first = max(first, middle - _MAX_VIEW // 2)
            last = min(last, first + _MAX_VIEW)
        return first, last

    def _traced(self, path: str, function: Function) -> int:
        """The line of a function that the last traceback names; 0 where it names none."""
        lines = re.findall(rf'File "[^"]*/{re.escape(path)}", line (\d+)', self._traceback)
        inside = [int(line) for line in lines if function.first <= int(line) <= function.last]
        return inside[-1] if inside else 0

    def _search(self, function: Function, path: str, why: str) -> None:
        name = function.node.name
        word = "def" if isinstance(function.node, ast.FunctionDef) else "async def"
        command = f'grep -rn "{word} {name}(" --include="*.py" .'
        if path not in self.do("bash", {"command": command}, why, name=name):
            raise ExpertError(f"searching for {name} does not find it")

    def _edit(self, repair: Repair) -> None:
        path, name = repair.path, repair.function.rpartition(".")[2]
        goal = _with_function(self._files[path], self._correct[path], repair.function)
        for number, (old, new) in enumerate(replacements(self._files[path], goal)):
            arguments = {"command": "str_replace", "path": path, "old_str": old, "new_str": new}
            self.do(EDITOR, arguments, "edit next" if number else "edit", name=name)
        self._files[path] = goal
        self._seen = [seen for seen in self._seen if seen[0] != path]

    def _command(self, script: str) -> str:
        lines = script.strip().splitlines()
        if len(lines) <= 3 and "'" not in script and self._rng.random() < 0.5:
            code = "; ".join(line for line in lines if line)
            return f"python -c {shlex.quote(code)}"
        return f"python - <<'EOF'\n{script.strip()}\nEOF"


def _with_function(buggy: str, correct: str, name: str) -> str:
    """A file with one function as in the correct text; others may still have bugs."""
    old, new = Source(buggy).function(name), Source(correct).function(name)
    lines, right = (re.split(r"(?<=\n)", text) for text in (buggy, correct))
    fixed = right[new.first - 1 : new.last]
    return "".join([*lines[: old.first - 1], *fixed, *lines[old.last :]])


def _require(due: Outcome, observation: str) -> None:
    """Raises ExpertError where an observation does not end as it must."""
    text = (due.error or due.printed).strip()
    if text and text.splitlines()[-1] not in observation:
        raise ExpertError("the example does not have the outcome that it must have")
