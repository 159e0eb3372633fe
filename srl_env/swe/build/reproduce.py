"""How a bug shows: a short script whose output on the faulty code differs from that on the right.

Scripts are made from oracle cases that fail, and from the bodies of failing tests. What they
print is never guessed: they are run on both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from srl_env.grading import OracleCase
from srl_env.sandbox import Sandbox
from srl_env.swe.build.cases import shown_expression, shown_setup
from srl_env.swe.build.project import Project, Target
from srl_env.swe.build.script import Outcome, Script, run_script
from srl_env.swe.build.suite import SuiteRun
from srl_env.swe.build.testbody import test_script

MAX_TRIED: Final = 6
_MAX_OUTPUT: Final = 600
_MAX_SCRIPT: Final = 1_200
_SHORT: Final = 260


@dataclass(frozen=True, slots=True)
class Reproduction:
    """A script that shows a bug: what it comes to on the right code, and on the faulty one.

    way: the calls that lead from the script to the faulty function, as (path, line).
    """

    script: Script
    expected: Outcome
    actual: Outcome
    way: tuple[tuple[str, int], ...]


def reproduce(
    sandbox: Sandbox,
    project: Project,
    target: Target,
    files: Mapping[str, str],
    failing: Sequence[OracleCase],
    run: SuiteRun,
    together: Mapping[str, str],
) -> Reproduction | None:
    """The best of the scripts that show what is wrong; None where none does.

    files: path → text, with this bug alone. failing: the oracle cases that fail on them.
    run: of the tests, on them. together: the files with all bugs of a task, on which it must
    show too; what it comes to there is what the reproduction says.
    """
    found = []
    for script in _scripts(project, failing, run):
        shown = _shown(sandbox, project, target, files, script)
        if shown is not None and files != together:
            shown = _shown(sandbox, project, target, together, script)
        if shown is not None:
            found.append(shown)
        if len(found) == MAX_TRIED // 2:
            break
    return min(found, key=_awkwardness, default=None)


def gives_away(text: str, script: Script, target: Target) -> bool:
    """Whether a text names the faulty function, or its file, where the script does not."""
    name = target.function.node.name
    names = {name} - script.names - {script.subject}
    hidden = [target.path, target.path.rpartition("/")[2], *names]
    return any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text) for word in hidden)


def _scripts(project: Project, failing: Sequence[OracleCase], run: SuiteRun) -> Iterator[Script]:
    shown = [case_script(case) for case in sorted(failing, key=_length)]
    taken = _distinct(shown)[:MAX_TRIED]
    yield from taken
    if len(taken) < MAX_TRIED:
        bodies = (
            test_script(project, test, run.outcomes[test].line) for test in sorted(run.failed)
        )
        short = [script for script in bodies if script and len(script.text) < _MAX_SCRIPT]
        short.sort(key=lambda script: (len(script.text), script.text))
        yield from _distinct(short)[: MAX_TRIED - len(taken)]


def case_script(case: OracleCase) -> Script:
    """The script that prints what an oracle case's expression comes to."""
    expression = shown_expression(case)
    value = f"repr({expression})" if isinstance(case.expected, str) else expression
    if expression.startswith("repr("):
        value = expression
    text = f"{shown_setup(case)}\n\nprint({value})\n".lstrip("\n")
    return Script(text, subject_of(expression))


def subject_of(expression: str) -> str:
    """The name that an expression is about: the last thing called in it, as its writer sees it."""
    inner = re.sub(r"^(?:repr|list|sorted|str|dict|set|tuple|len)\((.*)\)$", r"\1", expression)
    depth, names = 0, []
    for word in re.finditer(r"[\w.]*\w(?=\()|[()\[\]{}]|\.\w+\Z|\"[^\"]*\"|'[^']*'", inner):
        if word[0] in "([{":
            depth += 1
        elif word[0] in ")]}":
            depth -= 1
        elif depth == 0 and word[0][0] not in "\"'":
            names.append(word[0])
    return names[-1].rpartition(".")[2] if names else inner


def _shown(
    sandbox: Sandbox,
    project: Project,
    target: Target,
    files: Mapping[str, str],
    script: Script,
) -> Reproduction | None:
    """What a script shows, where it shows something, the same with other hash seeds."""
    expected = run_script(sandbox, project.checkout, script.text, {})
    actual = run_script(sandbox, project.checkout, script.text, files, (target,))
    if expected is None or actual is None or expected.text == actual.text:
        return None
    if not all(map(_presentable, (expected, actual))) or gives_away(actual.text, script, target):
        return None
    for files_, first in (({}, expected), (files, actual)):
        again = run_script(sandbox, project.checkout, script.text, files_, hash_seed=7)
        if again is None or again.text != first.text:
            return None
    return Reproduction(script, expected, actual, actual.ways[0])


def _presentable(outcome: Outcome) -> bool:
    text = outcome.text
    return len(text) <= _MAX_OUTPUT and "/workspace" not in text and " at 0x" not in text


def _awkwardness(shown: Reproduction) -> tuple[bool, bool, int]:
    """Scripts that reach the fault, and print two different values, come first."""
    both_printed = not shown.expected.error and not shown.actual.error
    length = len(shown.script.text) + len(shown.expected.text) + len(shown.actual.text)
    return not shown.way, not both_printed and length > _SHORT, length


def _length(case: OracleCase) -> tuple[int, str]:
    return len(case.setup) + len(case.expression), case.name


def _distinct(scripts: Sequence[Script]) -> list[Script]:
    return list({script.text: script for script in scripts}.values())
