"""An expert's solution of a task: each step is executed, and its observation recorded.

Reproduce the fault, locate it by what the run shows (the traceback, or a trace of the calls and
their results), read the code, name the cause, edit, run the example again, run the tests of the
changed modules, submit. The expert knows the change. What its thoughts claim (values, errors,
names, lines) is taken from earlier observations, from the statement's example, or from the edit.
"""

from __future__ import annotations

import ast
import difflib
import re
import shlex
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from srl_env.problem import ExpertStep
from srl_env.swe.builder.edits import valid_replacements
from srl_env.swe.builder.reproduction import Reproduction, quoted
from srl_env.swe.builder.script import bound_names
from srl_env.swe.builder.source import Function, Source
from srl_env.swe.builder.suite import related_tests
from srl_env.swe.builder.watched import watched
from srl_env.swe.tools import Workbench
from srl_env.text.tool_calls import EDITOR, Argument, ToolCall

MAX_HOPS: Final = 4
_MAX_VIEW: Final = 60
_AROUND: Final = 3
_AROUND_OTHERS: Final = 12  # lines outside of functions
_MOST_TRACED: Final = 30  # lines
_NAMES: Final = 3
_FRAME: Final = r'File "(?:[^"]*/)?workspace/([^"]+)", line (\d+)'
# Where one exception's traceback ends and the next one's begins.
_CHAINED: Final = re.compile(r"^(?:The above exception was|During handling of) .*:$", re.M)
_FAILED: Final = r"^(?:FAILED|ERROR) |^=+ (?:FAILURES|ERRORS) =+$"
_TRACER: Final = """\
import os, re, sys

def trace(frame, event, result):
    path, name = os.path.relpath(frame.f_code.co_filename), frame.f_code.co_name
    if event == "return" and not path.startswith((".", "<")) and name[0] != "<":
        place = f"{path}:{frame.f_code.co_firstlineno}"
        shown = re.sub(" at 0x[0-9a-f]+", "", repr(result))[:80]
        print(place, name, "->", shown, file=sys.stderr)

"""
_TRACER_ONCE: Final = _TRACER.replace("def trace", "seen = set()\n\ndef trace").replace(
    "        print(place",
    "        if (place, shown) not in seen:\n"
    "            seen.add((place, shown))\n"
    "            print(place",
)
_TRACING: Final = "sys.setprofile(trace)"


class ExpertError(Exception):
    """An observation is not what it must be; the task is dropped."""


@dataclass(frozen=True, slots=True)
class Repair:
    """One fault: a script that shows it, or None, and the text of each file that corrects it.

    after: path → text, with the repairs before it and this one.
    """

    shown: Reproduction | None
    after: Mapping[str, str]


def solve(
    bench: Workbench,
    repairs: Sequence[Repair],
    before: Mapping[str, str],
    tests: Sequence[str],
    reaching: Sequence[str] = (),
) -> tuple[ExpertStep, ...]:
    """The steps of a solution, made in a workspace.

    before: the workspace's Python files, path → text. tests: its test files, which pass after all
    repairs. reaching: those that run the changed functions. Raises ExpertError where an observation
    is not what it must be.
    """
    expert = _Expert(bench, dict(before))
    for repair in repairs:
        expert.fix(repair)
    changed = tuple(dict.fromkeys(path for repair in repairs for path in repair.after))
    done = []
    if repairs[0].shown is not None:
        done.append("what the report shows is as it should be")
    if tests:
        done.append(f"{expert.run_tests(tests, reaching, changed)} pass")
    summary = " and ".join(done) or "the change is made"
    expert.do("submit", {}, f"{summary[0].upper()}{summary[1:]}. I submit it.")
    return tuple(expert.steps)


def without_home(observation: str) -> str:
    """An observation whose tracebacks name the standard library's usual folder.

    Its folder on the builder's machine is private, and nothing to learn.
    """
    major, minor = sys.version_info[:2]
    return observation.replace(sysconfig.get_path("stdlib"), f"/usr/lib/python{major}.{minor}")


@dataclass(frozen=True, slots=True)
class _Hunk:
    """The first and the last line before a change (last < first: only added), and the lines.

    prose: those of the lines that are of a docstring.
    """

    first: int
    last: int
    old: tuple[str, ...]
    new: tuple[str, ...]
    prose: frozenset[str] = frozenset()

    @property
    def removed(self) -> list[str]:
        """The lines that are no more there; those of code, where code has changed."""
        return self._telling(_only(self.old, self.new))

    @property
    def added(self) -> list[str]:
        """The lines that are new; those of code, where code has changed."""
        return self._telling(_only(self.new, self.old))

    @property
    def has_code(self) -> bool:
        """Whether a line differs that is more than a comment or a docstring."""
        return any(map(self._is_code, (*_only(self.old, self.new), *_only(self.new, self.old))))

    def _is_code(self, line: str) -> bool:
        return line not in self.prose and bool(_code(line))

    def _telling(self, lines: Sequence[str]) -> list[str]:
        return [line for line in lines if self._is_code(line)] if self.has_code else [*lines]


class _Expert:
    def __init__(self, bench: Workbench, files: dict[str, str]) -> None:
        self._bench, self._files = bench, files
        self._seen: list[tuple[str, int, int]] = []
        self.steps: list[ExpertStep] = []

    def do(self, tool: str, arguments: Mapping[str, Argument], thought: str) -> str:
        """Makes one call, and records it with what came back."""
        call = ToolCall(tool, arguments)
        return self._record(call, thought, without_home(self._bench.call(call)))

    def _record(self, call: ToolCall, thought: str, observation: str) -> str:
        self.steps.append(ExpertStep(call.render(), thought=thought, observation=observation))
        return observation

    def fix(self, repair: Repair) -> None:
        """From the example that fails to the example that works."""
        shown, observed, difference = repair.shown, "", ""
        if shown is not None:
            which = "the next example" if self.steps else "the example"
            example: dict[str, Argument] = {"command": _command(shown.script)}
            observed = self.do("bash", example, f"I run {which} of the report.")
            _require(shown.actual.text, observed)
            difference = f"It {shown.does}; it should {shown.should}."
        self._locate(repair, observed, difference)
        for path, goal in repair.after.items():
            self._look_up(path, goal)
        self._edit(repair, self._checked(repair))
        if shown is not None:
            again = f"I run the example again: it must {shown.should}."
            observed = self.do("bash", example, again)
            _require(shown.expected.text, observed)

    def run_tests(
        self, tests: Sequence[str], reaching: Sequence[str], changed: Sequence[str]
    ) -> str:
        """Runs the tests of the changed modules, else those that run them, else all."""
        related = related_tests(tests, changed)
        which, thought = "other tests", "I run other tests, to see that nothing else has changed."
        if related:
            which = f"the tests of {_listed(changed)}"
        elif reaching:
            which = "the other tests that run the changed code"
        if related or reaching:
            thought = f"I run {which}."
        related = related or tuple(reaching)
        command = f"python -m pytest -qq {' '.join(map(shlex.quote, related or tests))}"
        observed = self.do("bash", {"command": command}, thought)
        if not re.search(r"\[100%\]$", observed, re.M) or re.search(_FAILED, observed, re.M):
            raise ExpertError("the visible tests do not pass")
        return which

    # -- locating --------------------------------------------------------------------------

    def _locate(self, repair: Repair, observed: str, difference: str) -> None:
        """Reads the code of each change, led there by the traceback, a trace, or searches."""
        places = [
            (path, line, Source(self._files[path], path).function_at(line))
            for path, after in repair.after.items()
            for hunk in _hunks(self._files[path], after)
            # Its first and last line; where lines are added, the one above.
            for line in dict.fromkeys(max(1, n) for n in (min(hunk.first, hunk.last), hunk.last))
        ]
        path, _, function = places[0]
        if repair.shown is not None and not (function and _frame(observed, path, function)):
            if traced := self._trace(repair.shown, difference):
                observed, difference = traced, ""
            hops = self._hops(repair.shown, path, function)
            lines = {hop: _frames(observed, where, hop) for where, hop in hops}
            places = [(p, [hop.first, *lines[hop]][-1], hop) for p, hop in hops] + places
            places = self._raised_at(observed) + places
        # Functions first: what they need of the rest of a file is read afterwards.
        for path, line, function in sorted(places, key=lambda place: place[2] is None):
            self._read(path, function, line, observed, difference)
            difference = ""

    def _raised_at(self, observed: str) -> list[tuple[str, int, Function | None]]:
        """Where the repository's code raises what a run ends with: [] or one place."""
        frames = [(p, int(line)) for p, line in re.findall(_FRAME, observed) if p in self._files]
        found = [(p, line, Source(self._files[p], p).function_at(line)) for p, line in frames[-1:]]
        return [place for place in found if place[-1]]

    def _trace(self, shown: Reproduction, difference: str) -> str:
        """The functions that the example runs, with their results; "" where that shows too much."""
        if shown.actual.error:  # a function that raises has no result
            return ""
        for tracer in (_TRACER, _TRACER_ONCE):
            script = _traced(tracer, shown.script.strip())
            call = ToolCall("bash", {"command": _heredoc(script)})
            observed = without_home(self._bench.call(call))
            if len(observed.splitlines()) <= _MOST_TRACED:
                break
        many = len(observed.splitlines()) > _MOST_TRACED
        if many or " -> " not in observed or "Traceback" in observed:
            return ""
        thought = f"{difference} I trace which functions of the repository it runs."
        return self._record(call, thought, observed)

    def _hops(
        self, shown: Reproduction, path: str, changed: Function | None
    ) -> list[tuple[str, Function]]:
        """The functions from the example's call to the changed one, without it; few."""
        found: dict[tuple[str, str], tuple[str, Function]] = {}
        for where, line in shown.calls:
            function = (
                Source(self._files[where]).function_at(line) if where in self._files else None
            )
            if function and (where, function.name) != (path, changed and changed.name):
                found[where, function.name] = where, function
        hops = list(found.values())
        return hops if len(hops) < MAX_HOPS else [hops[0], *hops[2 - MAX_HOPS :]]

    def _read(
        self, path: str, function: Function | None, line: int, observed: str, difference: str
    ) -> None:
        """Views a place, unless it was seen; searches for its function where nothing shows it.

        difference: what a search's thought begins with.
        """
        first, last = self._window(path, function, line)
        if any(p == path and a <= line <= b for p, a, b in self._seen):
            return
        thought = f"I read {path} from line {first}."
        if function is not None:
            name = function.node.name
            if any(
                p == path and a <= function.last and function.first <= b for p, a, b in self._seen
            ):
                thought = f"I read on in `{name}`."
            elif evidence := _frame(observed, path, function) or _result(observed, path, function):
                thought = f"{evidence} I read it."
            else:
                found = self._search(name, path, difference)
                thought = f"`{name}` is defined at {path}:{found}. I read it."
        view: dict[str, Argument] = {"command": "view", "path": path, "view_range": (first, last)}
        self.do(EDITOR, view, thought)
        self._seen.append((path, first, last))

    def _window(self, path: str, function: Function | None, line: int) -> tuple[int, int]:
        lines = len(self._files[path].splitlines())
        start, end = (function.first, function.last) if function else (line, line)
        around = _AROUND if function else _AROUND_OTHERS
        first, last = max(1, start - around), min(lines, end + around)
        if last - first >= _MAX_VIEW:
            first = max(first, line - _MAX_VIEW // 2)
            last = min(last, first + _MAX_VIEW)
        return first, last

    def _search(self, name: str, path: str, difference: str) -> str:
        """The line at which a search finds a function."""
        command = f'grep -rnE "def {name}\\(" --include="*.py" .'
        thought = f"{difference} I search for `{name}`." if difference else f"Where is `{name}`?"
        if not difference and any(f"{name}(" in step.action for step in self.steps):
            thought = f"The example calls `{name}`. Where is it?"
        if not difference and any(f"{name}(" in (step.observation or "") for step in self.steps):
            thought = f"I have seen a call of `{name}`. Where is it?"
        observed = self.do("bash", {"command": command}, thought)
        found = re.search(rf"^\./{re.escape(path)}:(\d+):", observed, re.MULTILINE)
        if found is None:
            raise ExpertError(f"searching for {name} does not find it")
        return found[1]

    def _look_up(self, path: str, goal: str) -> None:
        """Searches for what the edits use of a file and nothing has shown yet."""
        text, shown = self._files[path], "\n".join(step.observation or "" for step in self.steps)
        added = "\n".join(line for hunk in _hunks(text, goal) for line in hunk.added)
        own = {name for node in ast.parse(text).body for name in bound_names(node)}
        used = [word for word in re.findall(r"\w+", added) if word in own]
        used += [name for name in re.findall(r"\bself\.(\w+)", added) if f"self.{name}" in text]
        new = [name for name in dict.fromkeys(used) if not re.search(rf"\b{name}\b", shown)]
        if names := new[:_NAMES]:
            command = f"grep -nwE '{'|'.join(names)}' {shlex.quote(path)} | head -20"
            quoted_names = " and ".join(f"`{name}`" for name in names)
            self.do("bash", {"command": command}, f"I look up {quoted_names} in {path}.")

    # -- editing ---------------------------------------------------------------------------

    def _checked(self, repair: Repair) -> str:
        """What the wrong and the correct expression give where the example runs them; else ""."""
        if repair.shown is None or len(repair.after) != 1:
            return ""
        ((path, goal),) = repair.after.items()
        before, after = Source(self._files[path], path), Source(goal, path)
        hunks = _hunks(before.text, goal)
        function = before.function_at(max(1, min(hunks[0].first, hunks[0].last)))
        found = watched(before, after, function) if function and len(hunks) == 1 else None
        if found is None or not any(p == path and a <= found.line <= b for p, a, b in self._seen):
            return ""
        script = _heredoc(found.script(repair.shown.script.strip()))
        call = ToolCall("bash", {"command": script})
        observed = without_home(self._bench.call(call))
        values = found.values(observed)
        if values is None or len(observed.splitlines()) > _MOST_TRACED or " at 0x" in observed:
            return ""
        old, new = quoted(found.old), quoted(found.new)
        where = f"line {found.line} of {path}"
        self._record(call, f"I suspect {old} in {where}. I print it and {new} there.", observed)
        return f" When it runs, {old} is {quoted(values[0])} and {new} is {quoted(values[1])}."

    def _edit(self, repair: Repair, evidence: str) -> None:
        """evidence: what was seen at the place, a sentence or ""."""
        edits = [
            (path, old, new)
            for path, goal in repair.after.items()
            for old, new in valid_replacements(self._files[path], goal)
        ]
        for number, (path, old, new) in enumerate(edits):
            before = self._files[path]
            after = self._files[path] = before.replace(old, new)
            hunks = _hunks(before, after)
            thought = _cause(path, next((hunk for hunk in hunks if hunk.has_code), hunks[0]))
            if number == 0 and repair.shown is not None:
                does, should = repair.shown.does, repair.shown.should
                count = len(edits) - 1
                others = "one more edit" if count == 1 else f"{count} more edits"
                more = f"; with {others}, the example must {should}"
                why = f": this is why the example {does}; it must {should}"
                thought += more if len(edits) > 1 else why
            thought += "." + (evidence if number == 0 else "")
            edit = {"command": "str_replace", "path": path, "old_str": old, "new_str": new}
            if "edited" not in self.do(EDITOR, edit, thought).lower():
                raise ExpertError(f"an edit of {path} is refused")
        if any(self._files[path] != goal for path, goal in repair.after.items()):
            raise ExpertError("the edits do not make the correct text")
        self._seen = [seen for seen in self._seen if seen[0] not in repair.after]


def _hunks(text: str, goal: str) -> list[_Hunk]:
    old, new = text.splitlines(), goal.splitlines()
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    prose = _docstring_lines(text) | _docstring_lines(goal)
    return [
        _Hunk(min(a + 1, max(1, len(old))), b, tuple(old[a:b]), tuple(new[c:d]), prose)
        for kind, a, b, c, d in matcher.get_opcodes()
        if kind != "equal"
    ]


def _cause(path: str, hunk: _Hunk) -> str:
    """What is wrong at a place, and what must be there."""
    removed, added = hunk.removed, hunk.added
    where = f"line {hunk.first} of {path}"
    if removed:
        texts = [_plain(line) for line in hunk.old]
        where = f"line {hunk.first + texts.index(_plain(removed[0]))} of {path}"
    if removed and added and len(removed) != len(added):
        begin, end = _beginning(removed), _beginning(added)
        return f"From {where} on, {begin} must become {end}"
    if removed and added:
        return f"In {where}, {quoted(_plain(removed[0]))} must be {quoted(_plain(added[0]))}"
    if added:
        place = "At" if any(line.strip() for line in hunk.old) else "Before"
        return f"{place} {where}, {_block(added)} missing"
    if removed:
        return f"In {where}, {quoted(_plain(removed[0]))} must not be there"
    lines = [line.strip() for line in hunk.old]
    code = [line for line in hunk.old if _code(line) and line.rstrip() not in hunk.new]
    if code and lines == [line.strip() for line in hunk.new]:
        return f"From {where} on, {_beginning(code)} must be in another block"
    if len(lines) > 1 and sorted(map(_plain, lines)) == sorted(map(_plain, hunk.new)):
        return f"From {where} on, {len(lines)} lines are in the wrong order"
    return f"The layout at {where} is wrong"


def _docstring_lines(text: str) -> frozenset[str]:
    """The lines of docstrings."""
    lines, found = text.splitlines(), set[str]()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            found.update(lines[node.lineno - 1 : node.end_lineno])
    return frozenset(found)


def _beginning(lines: Sequence[str]) -> str:
    """How many lines there are, and the first of them."""
    count = "the line" if len(lines) == 1 else f"{len(lines)} lines that begin with"
    return f"{count} {quoted(_plain(lines[0]))}"


def _block(lines: Sequence[str]) -> str:
    """The first of some lines, how many follow, and "is" or "are"."""
    more = len(lines) - 1
    rest = f" and {more} more line{'s' if more > 1 else ''} are" if more else " is"
    return f"{quoted(_plain(lines[0]))}{rest}"


def _only(lines: Sequence[str], others: Sequence[str]) -> list[str]:
    """The lines that are not among others, whatever comma or comment ends them."""
    known = set(map(_plain, others))
    return [line for line in lines if line.strip() and _plain(line) not in known]


def _plain(line: str) -> str:
    return (_code(line) or line.strip()).removesuffix(",")


def _code(line: str) -> str:
    """A line without a comment at its end; "" for prose."""
    return "" if _is_prose(line) else re.sub(r"\s+#.*", "", line).strip()


def _is_prose(line: str) -> bool:
    """Whether a line is a comment or begins a docstring."""
    return line.strip().startswith(('"""', "'''", "#"))


def _frame(observed: str, path: str, function: Function) -> str:
    """What a traceback says of a function; "" where it does not name it."""
    parts = [part for part in _CHAINED.split(observed) if _frames(part, path, function)]
    if not parts:
        return ""
    observed, inside = parts[-1], _frames(parts[-1], path, function)
    innermost = re.findall(_FRAME, observed)[-1] == (path, str(inside[-1]))
    how = "is raised at" if innermost else "comes through"
    error = observed.rstrip().splitlines()
    last = next((line for line in reversed(error) if re.match(r"[\w.]+(?::|$)", line)), "")
    where = f"line {inside[-1]} of {path}, in `{function.node.name}`"
    return f"{quoted(last.strip())} {how} {where}." if last else f"It fails at {where}."


def _frames(observed: str, path: str, function: Function) -> list[int]:
    """The lines of a function that a traceback names."""
    frames = [int(line) for where, line in re.findall(_FRAME, observed) if where == path]
    return [line for line in frames if function.first <= line <= function.last]


def _result(observed: str, path: str, function: Function) -> str:
    """What a trace says of a function; "" where it does not list it."""
    name = function.node.name
    lines = rf"^{re.escape(path)}:(\d+) {re.escape(name)} -> (.*)$"
    found = [
        (line, value)
        for line, value in re.findall(lines, observed, re.MULTILINE)
        if function.first <= int(line) <= function.last
    ]
    if not found:
        return ""
    line, value = found[-1]
    yields = any(isinstance(node, ast.Yield | ast.YieldFrom) for node in ast.walk(function.node))
    if yields or value == "None" or isinstance(function.node, ast.AsyncFunctionDef):
        return f"The trace lists `{name}` ({path}:{line})."
    return f"In the trace, `{name}` ({path}:{line}) returns {quoted(value)}."


def _listed(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - _NAMES} more" if len(paths) > _NAMES else ""
    return ", ".join(paths[:_NAMES]) + more


def _command(script: str) -> str:
    lines = [line for line in script.strip().splitlines() if line]
    if len(lines) <= 3 and "'" not in script and len(ast.parse(script).body) == len(lines):
        return f"python -c {shlex.quote('; '.join(lines))}"
    return _heredoc(script.strip())


def _traced(tracer: str, script: str) -> str:
    """A script that prints what it runs, without what its first imports run."""
    after = 0
    for node in ast.parse(script).body:
        if not isinstance(node, ast.Import | ast.ImportFrom):
            break
        after = node.end_lineno or node.lineno
    lines = script.splitlines()
    return tracer + "\n".join([*lines[:after], _TRACING, *lines[after:]])


def _heredoc(script: str) -> str:
    return f"python - <<'EOF'\n{script}\nEOF"


def _require(due: str, observed: str) -> None:
    """Raises ExpertError where an observation does not end as it must."""
    if due.strip() and due.strip().splitlines()[-1] not in observed:
        raise ExpertError("the example does not have the outcome that it must have")
