"""How a bug shows: a short script whose output differs between the buggy and the correct code.

Scripts are made from failing oracle cases and from the bodies of failing tests. Their output is
never guessed: they run on both versions.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Final

from srl_env.grading import OracleCase
from srl_env.sandbox import Sandbox
from srl_env.swe.builder.assertions import failure_scripts
from srl_env.swe.builder.cases import TEMPORARY, shown_expression
from srl_env.swe.builder.checkout import NO_FILES
from srl_env.swe.builder.project import Project, Target
from srl_env.swe.builder.script import Outcome, names_in, run_script, written_script
from srl_env.swe.builder.source import Source
from srl_env.swe.builder.suite import SuiteRun

MAX_TRIED: Final = 6
_MAX_OUTPUT: Final = 600
_MAX_SCRIPT: Final = 1_200
_SHORT: Final = 260
_QUOTED: Final = 100
_BROKEN: Final = ("NameError", "UnboundLocalError", "ImportError", "ModuleNotFoundError")
_COMPARES: Final = re.compile(r"^print\(.* (?:==|is) .*\)\n?\Z", re.MULTILINE)
_LEAST_DOCUMENTED: Final = 20
_MOST_DOCUMENTED: Final = 200


@dataclass(frozen=True, slots=True)
class Reproduction:
    """A script that shows a bug: its outcome on the correct code, and on the buggy one.

    subject: the public name that the script is about; "" where there is none. documented: the
    first sentence of its docstring, "" where there is none.
    """

    script: str
    subject: str
    expected: Outcome
    actual: Outcome
    documented: str = ""

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Reproduction:
        """The reproduction whose ``asdict`` was written as JSON."""
        outcomes = {
            name: Outcome(
                row[name]["printed"],
                row[name]["error"],
                *(tuple(map(tuple, row[name].get(key, ()))) for key in ("calls", "entered")),
            )
            for name in ("expected", "actual")
        }
        return cls(**{**row, **outcomes})

    @property
    def calls(self) -> tuple[tuple[str, int], ...]:
        """The calls from the script to the buggy function, as (path, line)."""
        return self.actual.calls

    @property
    def does(self) -> str:
        """What it does on the buggy code, e.g. "prints `45.0`": the first line that differs."""
        return _behaviour(self.actual, self.expected, "prints", "ends with")

    @property
    def should(self) -> str:
        """What it must do, e.g. "print `15.0`" or "end with `ValueError: no price`"."""
        return _behaviour(self.expected, self.actual, "print", "end with")


def reproduce(
    sandbox: Sandbox,
    project: Project,
    target: Target | None,
    files: Mapping[str, str],
    failing: Sequence[OracleCase],
    run: SuiteRun,
    together: Mapping[str, str],
    written: str = "",
) -> Reproduction | None:
    """The best of the scripts that show a bug; None where none does.

    target: the function with the bug, None if it is in no function.
    files: path → text, with this bug alone. failing: the oracle cases that fail on them.
    run: of the tests, on them. together: the files with all bugs of a task. The script must show
    the bug there too, and its outcome there is the one reported. written: a script that comes
    before all others if it shows the bug, "" without one.
    """
    found = []
    given = [written] if written else []
    for script in [*given, *_scripts(project, failing, run)]:
        if TEMPORARY in script:  # what is there when a test runs is not there for a reader
            continue
        shown = _shown(sandbox, project, target, files, script)
        if shown is not None and files != together:
            shown = _shown(sandbox, project, target, together, script)
        if shown is not None:
            found.append(shown)
        if len(found) == MAX_TRIED // 2:
            break
    found.sort(key=lambda one: (one.script != written or not one.calls, awkwardness(one)))
    steady = (one for one in found if _is_steady(sandbox, project, together, one))
    best = next(steady, None)
    if best is None or best.script == written:
        return best

    def shortened(shown: Reproduction, script: str) -> Reproduction:
        """The reproduction by a shorter script, if it prints the same."""
        other = _shown(sandbox, project, target, together, script)
        texts = shown.expected.text, shown.actual.text
        same = other is not None and (other.expected.text, other.actual.text) == texts
        return other if other is not None and same else shown

    if not best.expected.text and (longer := with_print(best.script)):
        best = _shown(sandbox, project, target, together, longer) or best
    for index in reversed(range(len(ast.parse(best.script).body) - 1)):
        if without := without_statement(best.script, index):
            best = shortened(best, without)
    return shortened(best, plain) if (plain := _with_plain_print(best.script)) else best


def without_statement(script: str, index: int) -> str:
    """A script without one of its statements, and what only that needs; "" where it is needed."""
    body = ast.parse(script).body
    if index >= len(body) - 1 or isinstance(body[index], ast.Import | ast.ImportFrom):
        return ""
    lines, (first, last), (end, _) = script.splitlines(), _span(body[index]), _span(body[-1])
    before = "\n".join([*lines[: first - 1], *lines[last : end - 1]])
    return written_script(before, ["\n".join(lines[end - 1 :])], lambda _: None)


def _span(node: ast.stmt) -> tuple[int, int]:
    """The first and the last line of a statement, with its decorators."""
    marks = [mark.lineno for mark in getattr(node, "decorator_list", ())]
    return min([node.lineno, *marks]), node.end_lineno or node.lineno


def with_print(script: str) -> str:
    """A script that prints what its last statement assigns to a name; "" for other statements."""
    match ast.parse(script).body[-1]:
        case ast.Assign(targets=[ast.Name(name)]):
            return f"{script}print({name})\n"
    return ""


def _with_plain_print(script: str) -> str:
    """A script without ``repr`` in its last line; "" where that has none."""
    start, last = "print(repr(", script.rstrip("\n").rpartition("\n")[2]
    if not (last.startswith(start) and last.endswith("))")):
        return ""
    return script.rstrip("\n").removesuffix(last) + f"print({last.removeprefix(start)[:-2]})\n"


def awkwardness(shown: Reproduction) -> tuple[bool, bool, bool, bool, int]:
    """Sorts scripts first that reach the bug, and whose correct result is a value.

    Of these, those that print two different values. Whether something equals a value says less
    than the value itself.
    """
    both_printed = not shown.expected.error and not shown.actual.error
    length = len(shown.script) + len(shown.expected.text) + len(shown.actual.text)
    no_value = bool(shown.expected.error) or shown.expected.text in ("", "None")
    compares = shown.expected.text in ("True", "False") and bool(_COMPARES.search(shown.script))
    return not shown.calls, compares, no_value, not both_printed and length > _SHORT, length


def gives_away(text: str, script: str, target: Target) -> bool:
    """Whether a text names the buggy function or its file although the script does not."""
    name = target.function.node.name
    hidden = [target.path, target.path.rpartition("/")[2], *({name} - names_in(script))]
    return any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text) for word in hidden)


def case_script(case: OracleCase) -> str:
    """The script that prints the value of an oracle case's expression."""
    expression = shown_expression(case)
    text = isinstance(case.expected, str) and not expression.startswith("repr(")
    printed = f"print(repr({expression}))" if text else f"print({expression})"
    return written_script(case.setup, [printed], lambda _: None)


def _scripts(project: Project, failing: Sequence[OracleCase], run: SuiteRun) -> Iterator[str]:
    returning = [case for case in failing if case.raises is None and case.expected is not None]
    others = [case for case in failing if case.raises is not None or case.expected is None]
    taken = [
        script for cases in (returning, others) for script in _shortest(map(case_script, cases))
    ]
    taken = taken[:MAX_TRIED]
    yield from taken
    if len(taken) < MAX_TRIED:
        tests = ((test, run.outcomes[test].line) for test in sorted(run.failed))
        bodies = [[*failure_scripts(project, *test)] for test in tests]
        best = _shortest(scripts[0] for scripts in bodies if scripts)
        more = _shortest(script for scripts in bodies for script in scripts[1:])
        yield from [*best, *more][: MAX_TRIED - len(taken)]


def _shortest(scripts: Iterable[str]) -> list[str]:
    short = {script for script in scripts if len(script) < _MAX_SCRIPT}
    return sorted(short, key=lambda script: (len(script), script))[:MAX_TRIED]


def _shown(
    sandbox: Sandbox,
    project: Project,
    target: Target | None,
    files: Mapping[str, str],
    script: str,
) -> Reproduction | None:
    """The reproduction that a script is, if it is one."""
    expected = run_script(sandbox, project.checkout, script, NO_FILES)
    place = target.place if target else None
    actual = run_script(sandbox, project.checkout, script, files, place)
    if expected is None or actual is None or expected.text == actual.text:
        return None
    if expected.error.partition(":")[0] in _BROKEN:  # the script lacks something of the test
        return None
    if not all(map(_presentable, (expected, actual))):
        return None
    if target and gives_away(actual.text, script, target):
        return None
    called, entered = (
        [_function(project, files, *place) for place in places]
        for places in (actual.calls, actual.entered)
    )
    subject = subject_of(script, () if actual.error else called, entered)
    return Reproduction(script, subject, expected, actual, documented(project.sources, subject))


def _is_steady(
    sandbox: Sandbox, project: Project, files: Mapping[str, str], shown: Reproduction
) -> bool:
    """Whether the outcomes are the same in a fresh interpreter with another hash seed."""
    for written, first in ((NO_FILES, shown.expected), (files, shown.actual)):
        again = run_script(sandbox, project.checkout, shown.script, written, hash_seed=7)
        if again is None or again.text != first.text:
            return False
    return True


def _function(project: Project, files: Mapping[str, str], path: str, line: int) -> str:
    """The name of the function around a line; "" where there is none."""
    source = Source(files[path], path) if path in files else project.sources.get(path)
    function = source.function_at(line) if source else None
    return function.name if function else ""


def subject_of(script: str, called: Sequence[str], entered: Sequence[str]) -> str:
    """What the last statement of a script calls: what the title says to be wrong.

    It is the first function on the way to the fault if that statement names it, else the last one
    that the script itself entered. called: the functions on the way. "" where none is named.
    """
    last = ast.unparse(ast.parse(script).body[-1])
    for functions, text in ((called, last), (entered[::-1], script)):
        names, known = names_in(text), names_in(script)
        for function in functions:
            owner, _, name = function.rpartition(".")
            if name in names and not name.startswith("_"):
                return function
            if name == "__init__" and owner in known:
                return owner
    return ""


def documented(sources: Mapping[str, Source], subject: str) -> str:
    """The first sentence of the docstring of a function or class; "" where it is not known."""
    found = {
        ast.get_docstring(node) or ""
        for source in sources.values()
        for name, node in source.documented
        if subject and (name == subject or name.endswith(f".{subject}"))
    }
    text = found.pop() if len(found) == 1 else ""
    first = " ".join(text.partition("\n\n")[0].split())
    sentence = re.split(r"(?<=[.!?]) ", first)[0]
    fits = _LEAST_DOCUMENTED <= len(sentence) <= _MOST_DOCUMENTED and sentence[0].isupper()
    return sentence if fits and not sentence.startswith((">>>", ":", "@")) else ""


def _behaviour(outcome: Outcome, other: Outcome, prints: str, ends: str) -> str:
    texts = outcome.text.splitlines(), other.text.splitlines()
    line = next((one for one, two in zip_longest(*texts, fillvalue="") if one != two), "")
    if not line.strip():
        return f"{prints} nothing more" if outcome.text else f"{prints} nothing"
    printed = line in outcome.printed.splitlines()
    return f"{prints if printed else ends} {quoted(line.strip())}"


def quoted(line: str) -> str:
    """A line as Markdown code, its beginning where it is long."""
    shorter = line if len(line) <= _QUOTED else line[:_QUOTED].rstrip() + "…"
    return f"`` {shorter} ``" if "`" in shorter else f"`{shorter}`"


def _presentable(outcome: Outcome) -> bool:
    text = outcome.text
    private = ("/workspace", TEMPORARY, " at 0x")
    return len(text) <= _MAX_OUTPUT and not any(part in text for part in private)
