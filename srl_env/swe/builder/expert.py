"""An expert's way to solve a task: each step executed for real, with what came back.

Reproduce, search for what is called, view it, follow the calls to the fault, edit, run it again,
run the tests that are there, submit. The expert knows the fault; the steps are those of someone
who finds it by reading on from the statement.
"""

from __future__ import annotations

import re
import shlex
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from srl_env.problem import ExpertStep
from srl_env.seeding import stream
from srl_env.swe.builder.edits import replacements
from srl_env.swe.builder.reproduction import Reproduction
from srl_env.swe.builder.source import Function, Source
from srl_env.text.tool_calls import EDITOR, Argument, ToolCall

MAX_HOPS: Final = 4
_MAX_VIEW: Final = 60
_AROUND: Final = 3


class Runs(Protocol):
    """What runs tool calls, as ``srl_env.swe.tools.Workbench``."""

    def call(self, call: ToolCall) -> str:
        """The observation of one call."""
        ...


class ExpertError(Exception):
    """The expert's way did not go as it should have; the task is of no use."""


@dataclass(frozen=True, slots=True)
class Repair:
    """One bug with how it shows, and where it is: the file, its function, and its first line."""

    shown: Reproduction
    path: str
    function: str
    line: int


def solve(
    runs: Runs,
    repairs: Sequence[Repair],
    faulty: Mapping[str, str],
    right: Mapping[str, str],
    *,
    tests: Sequence[str],
    key: str,
    seed: int,
) -> tuple[ExpertStep, ...]:
    """The steps of a solution, made in a workspace.

    faulty: the files with bugs, path → text. right: the right text of every file.
    tests: test files that are in the workspace.
    key: names the task; the wording is drawn from it and seed.
    Raises ExpertError where an observation is not what it must be.
    """
    expert = _Expert(runs, dict(faulty), right, stream("expert", key, seed))
    expert.look_around()
    for number, repair in enumerate(repairs):
        expert.mend(repair, last=repair.path not in {r.path for r in repairs[number + 1 :]})
    if tests:
        expert.run_tests(tests)
    expert.do("submit", {}, _SUBMIT)
    return tuple(expert.steps)


_LOOK = ("First, what is there.", "I look at how the repository is laid out.")
_SHOW = (
    "I run the example from the report to see it for myself.",
    "Can I reproduce it? I run the reported code.",
    "I begin by reproducing the problem.",
)
_SHOWN_MORE = (
    "Next, the other problem in the report: I run its example.",
    "On to the next point of the report; does it happen here too?",
)
_SEARCH = (
    "It happens here too. Where is `{name}` defined?",
    "Reproduced. I search for `{name}`.",
    "That is what the report says. I look for the definition of `{name}`.",
)
_SEARCH_ON = (
    "`{name}` is called on the way there; where is it?",
    "This relies on `{name}`, so I look at that next.",
    "The work is done in `{name}`. I search for it.",
)
_VIEW = (
    "I read `{name}`.",
    "It is in {path}, line {line}. I view it.",
    "Let me see what `{name}` does.",
)
_VIEW_TOLD = (
    "The traceback goes through {path}, line {line}. I view `{name}` there.",
    "Line {line} of {path} is where it breaks; let me read it.",
)
_EDIT = (
    "Here is the fault: this cannot give what the report expects. I correct it.",
    "This is wrong in `{name}`; it explains the output. I mend it.",
    "Found it. I change this part of `{name}` and leave the rest alone.",
)
_EDIT_MORE = ("The same repair needs another change here.", "A second place belongs to it.")
_AGAIN = (
    "Does the example give the right output now?",
    "I run the example again to check the repair.",
    "Now the reported code should give what is expected.",
)
_TESTS = (
    "It does. I run the tests that are here, so that nothing else broke.",
    "Right. Do the other tests still pass?",
    "Fixed. Now the test suite.",
)
_SUBMIT = ("All is well; I submit.", "Done: I submit the change.", "Nothing else is needed.")


def without_home(observation: str) -> str:
    """An observation whose tracebacks name the standard library's usual folder.

    Where it lies on the machine of a build is nothing to learn, and nobody else's business.
    """
    major, minor = sys.version_info[:2]
    return observation.replace(sysconfig.get_path("stdlib"), f"/usr/lib/python{major}.{minor}")


class _Expert:
    def __init__(
        self,
        runs: Runs,
        files: dict[str, str],
        right: Mapping[str, str],
        rng: np.random.Generator,
    ) -> None:
        self._runs, self._files, self._right, self._rng = runs, files, right, rng
        self._traceback = ""
        self._seen: dict[str, list[tuple[int, int]]] = {}
        self.steps: list[ExpertStep] = []

    def do(
        self, tool: str, arguments: Mapping[str, Argument], thoughts: Sequence[str], **words: object
    ) -> str:
        """Makes one call, and records it with a thought and what came back."""
        call = ToolCall(tool, arguments)
        thought = self._pick(thoughts).format(**words)
        observation = without_home(self._runs.call(call))
        self.steps.append(ExpertStep(call.render(), thought=thought, observation=observation))
        return observation

    def look_around(self) -> None:
        if self._rng.random() < 0.25:
            command = 'find . -name "*.py" -not -path "*/.*" | sort | head -50'
            self.do("bash", {"command": command}, _LOOK)

    def mend(self, repair: Repair, *, last: bool) -> None:
        """From the example that fails to the example that works."""
        command = self._command(repair.shown.script)
        first = not any(step.action.startswith(f"<function={EDITOR}") for step in self.steps)
        said = self.do("bash", {"command": command}, _SHOW if first else _SHOWN_MORE)
        self._require(repair.shown.actual.error or repair.shown.actual.printed, said)
        self._traceback = said
        self._find(repair)
        self._edit(repair, whole=last)
        if last or repair.shown.expected.text:
            said = self.do("bash", {"command": command}, _AGAIN)
            self._require(repair.shown.expected.error or repair.shown.expected.printed, said)

    def run_tests(self, tests: Sequence[str]) -> None:
        command = f"python -m pytest -qq {' '.join(map(shlex.quote, tests))}"
        said = self.do("bash", {"command": command}, _TESTS)
        if not said.rstrip().endswith("[100%]"):
            raise ExpertError("the visible tests do not pass")

    def _find(self, repair: Repair) -> None:
        """Searches and views, from what the example calls to the faulty function."""
        way = self._way(repair)
        for number, (path, function) in enumerate(way):
            name = function.node.name
            fault = repair.line if number == len(way) - 1 else None
            first, last = self._window(path, function, fault)
            if any(a <= first and last <= b for a, b in self._seen.get(path, ())):
                continue
            line = self._told(path, function)
            if not line:
                self._search(function, _SEARCH if number == 0 else _SEARCH_ON, path)
            view: dict[str, Argument] = {
                "command": "view",
                "path": path,
                "view_range": (first, last),
            }
            words = {"name": name, "path": path, "line": line or function.node.lineno}
            self.do(EDITOR, view, _VIEW_TOLD if line else _VIEW, **words)
            self._seen.setdefault(path, []).append((first, last))

    def _way(self, repair: Repair) -> list[tuple[str, Function]]:
        """The functions from the example's call to the fault, at most MAX_HOPS."""
        paths = {path for path, _ in repair.shown.way} | {repair.path}
        sources = {path: Source(self._text(path), path) for path in paths if path in self._right}
        found: dict[tuple[str, str], tuple[str, Function]] = {}
        for path, line in repair.shown.way:
            function = sources[path].function_at(line) if path in sources else None
            if function is not None:
                found[(path, function.name)] = (path, function)
        source = sources[repair.path]
        end = next(f for f in source.functions if f.name == repair.function)
        found.pop((repair.path, repair.function), None)
        if self._told(repair.path, end):
            return [(repair.path, end)]
        hops = [*found.values(), (repair.path, end)]
        return hops if len(hops) <= MAX_HOPS else [hops[0], *hops[1 - MAX_HOPS :]]

    def _window(self, path: str, function: Function, fault: int | None) -> tuple[int, int]:
        lines = len(self._text(path).splitlines())
        first, last = max(1, function.first - _AROUND), min(lines, function.last + _AROUND)
        if last - first >= _MAX_VIEW:
            middle = fault or function.first + _MAX_VIEW // 2
            first = max(first, middle - _MAX_VIEW // 2)
            last = min(last, first + _MAX_VIEW)
        return first, last

    def _told(self, path: str, function: Function) -> int:
        """The line of a function that the last traceback names; 0 where it names none."""
        lines = re.findall(rf'File "[^"]*/{re.escape(path)}", line (\d+)', self._traceback)
        inside = [int(line) for line in lines if function.first <= int(line) <= function.last]
        return inside[-1] if inside else 0

    def _search(self, function: Function, thoughts: Sequence[str], path: str) -> None:
        word = "async def" if function.node.__class__.__name__.startswith("Async") else "def"
        what = f"{word} {function.node.name}("
        only = ' --include="*.py"' if self._rng.random() < 0.5 else ""
        command = f'grep -rn "{what}"{only} .'
        name = function.node.name
        if path not in self.do("bash", {"command": command}, thoughts, name=name):
            raise ExpertError(f"searching for {name} does not find it")

    def _text(self, path: str) -> str:
        return self._files.get(path, self._right[path])

    def _edit(self, repair: Repair, *, whole: bool) -> None:
        """The repair of one function; of all that is left of its file where `whole`."""
        path = repair.path
        goal = self._right[path] if whole else self._partly_right(repair)
        for number, (old, new) in enumerate(replacements(self._files[path], goal)):
            arguments = {"command": "str_replace", "path": path, "old_str": old, "new_str": new}
            thoughts = _EDIT if number == 0 else _EDIT_MORE
            name = repair.function.rpartition(".")[2]
            self.do(EDITOR, arguments, thoughts, name=name)
        self._files[path] = goal
        self._seen.pop(path, None)

    def _partly_right(self, repair: Repair) -> str:
        """The file with this one function mended, others still faulty."""
        right, faulty = Source(self._right[repair.path]), Source(self._files[repair.path])
        good = next(f for f in right.functions if f.name == repair.function)
        bad = next(f for f in faulty.functions if f.name == repair.function)
        ours, theirs = self._files[repair.path].splitlines(True), right.text.splitlines(True)
        mended = theirs[good.first - 1 : good.last]
        return "".join([*ours[: bad.first - 1], *mended, *ours[bad.last :]])

    def _command(self, script: str) -> str:
        lines = script.strip().splitlines()
        if len(lines) <= 3 and "'" not in script and self._rng.random() < 0.5:
            code = "; ".join(line for line in lines if line)
            return f"python -c {shlex.quote(code)}"
        return f"python - <<'EOF'\n{script.strip()}\nEOF"

    def _require(self, due: str, said: str) -> None:
        """Raises ExpertError where an observation does not end as it must."""
        if due.strip() and due.strip().splitlines()[-1] not in said:
            raise ExpertError("the example does not come out as it should")

    def _pick(self, thoughts: Sequence[str]) -> str:
        return thoughts[int(self._rng.integers(len(thoughts)))]
