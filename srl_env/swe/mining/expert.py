"""The expert's steps for a mined task: each is executed, and its observation recorded.

Reproduce, find and read each place of the patch, edit it, reproduce again, run the visible tests,
submit. What a thought says about a result was read from that result.
"""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Mapping, Sequence
from typing import Final

from srl_env.problem import ExpertStep
from srl_env.swe.builder.edits import replacements
from srl_env.swe.builder.expert import ExpertError, without_home
from srl_env.swe.builder.reproduction import Reproduction
from srl_env.swe.builder.source import Function, Source
from srl_env.swe.mining.selection import Patch
from srl_env.swe.tools import Workbench
from srl_env.text.tool_calls import EDITOR, Argument, ToolCall

_AROUND: Final = 8
_LONGEST_VIEW: Final = 80


def solve(
    bench: Workbench, patch: Patch, shown: Reproduction | None, tests: Sequence[str]
) -> tuple[ExpertStep, ...]:
    """The steps that make the patch in a workspace.

    shown: a script that shows the fault, where there is one. tests: visible test files that pass
    with the patch. Raises ExpertError where an observation is not what it must be.
    """
    expert = _Expert(bench)
    script = None if shown is None else f"python - <<'EOF'\n{shown.script.strip()}\nEOF"
    if script and shown:
        said = expert.do("bash", {"command": script}, "I run the example from the report.")
        _require(shown.actual.text, said)
    found = shown.actual.text.strip().splitlines()[-1:] if shown else []
    cause = f" The example ended with `{found[0][:120]}`." if found else ""
    for path, after in patch.after.items():
        expert.change(path, patch.before[path], after, cause)
        cause = ""
    if script and shown:
        said = expert.do("bash", {"command": script}, "I run the example again.")
        _require(shown.expected.text, said)
    if tests:
        command = f"python -m pytest -qq {' '.join(map(shlex.quote, tests))}"
        said = expert.do("bash", {"command": command}, "I run the tests of these modules.")
        if not said.rstrip().endswith("[100%]"):
            raise ExpertError("the visible tests do not pass")
    expert.do("submit", {}, "The change is complete, so I submit it.")
    return tuple(expert.steps)


class _Expert:
    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self.steps: list[ExpertStep] = []

    def do(self, tool: str, arguments: Mapping[str, Argument], thought: str) -> str:
        """Makes one call, and records it with what came back."""
        call = ToolCall(tool, arguments)
        observation = without_home(self._bench.call(call))
        self.steps.append(ExpertStep(call.render(), thought=thought, observation=observation))
        return observation

    def change(self, path: str, before: str, after: str, cause: str) -> None:
        """Finds, reads and edits the places of one file."""
        source = Source(before, path)
        seen: list[tuple[int, int]] = []
        for line in _changed_lines(before, after):
            if any(first <= line <= last for first, last in seen):
                continue
            function = source.function_at(line)
            if function is not None:
                self._search(function, path, cause)
                cause = ""
            seen.append(self._view(path, before, line, function))
        for number, (old, new) in enumerate(replacements(before, after)):
            thought = (
                f"I change {path}." if number == 0 else f"Another place in {path} belongs to it."
            )
            edit = {"command": "str_replace", "path": path, "old_str": old, "new_str": new}
            if "edited" not in self.do(EDITOR, edit, thought).lower():
                raise ExpertError(f"an edit of {path} is refused")

    def _search(self, function: Function, path: str, cause: str) -> None:
        name = function.node.name
        command = f'grep -rn "def {name}(" --include="*.py" .'
        if path not in self.do("bash", {"command": command}, f"Where is `{name}`?{cause}"):
            raise ExpertError(f"searching for {name} does not find it")

    def _view(self, path: str, text: str, line: int, function: Function | None) -> tuple[int, int]:
        total = len(text.splitlines())
        first, last = max(1, line - _AROUND), min(total, line + _AROUND)
        if function is not None and function.last - function.first < _LONGEST_VIEW:
            first, last = min(first, function.first), max(last, function.last)
        view: dict[str, Argument] = {"command": "view", "path": path, "view_range": (first, last)}
        what = f"`{function.node.name}`" if function else f"line {line}"
        self.do(EDITOR, view, f"I read {path} around {what}.")
        return first, last


def _changed_lines(before: str, after: str) -> list[int]:
    """The first line of each hunk, numbered from 1 in the text before."""
    matcher = difflib.SequenceMatcher(None, before.splitlines(), after.splitlines(), autojunk=False)
    last = max(1, len(before.splitlines()))
    return [min(a + 1, last) for kind, a, *_ in matcher.get_opcodes() if kind != "equal"]


def _require(due: str, said: str) -> None:
    if due.strip() and due.strip().splitlines()[-1] not in said:
        raise ExpertError("the example does not give the recorded result")
