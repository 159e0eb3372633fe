"""What a model is asked: for a bug of a kind in a function, and for the words of a statement."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from srl_env.grading import OracleCase
from srl_env.swe.builder.plan import split_of
from srl_env.swe.builder.project import Project, Target
from srl_env.swe.builder.reproduction import Reproduction
from srl_env.swe.builder.source import Function, Source
from srl_env.text.prompt import Messages

MAX_SHOWN: Final = 12_000  # characters of source
_MAX_CALLS: Final = 5

WRITTEN_KINDS: Final[Mapping[str, str]] = {
    "written_contract": "A changed contract: a function takes, returns or assumes something else "
    "(order, unit, type, default, what an empty value means). Its callers are adapted, and one "
    "place is forgotten. If the function has no callers here, its own parts no longer agree.",
    "written_invariant": "A broken invariant: two places that must agree (a count and a list, an "
    "index and a length, a stored value and what it was computed from) no longer do.",
    "written_case": "A missing case: a kind of input that is handled now (empty, negative, nested, "
    "repeated, the last of several) no longer is.",
    "written_rule": "A wrong rule: a condition or a computation that looks plausible and is wrong "
    "for some inputs.",
}
"""The kinds of bugs that a model writes, and how they are explained to it."""

_BUG: Final = """\
You write realistic bugs for a benchmark of program repair. Change the code so that it has one bug,
as a developer could have committed it by mistake. Some of the tests must fail; most must pass.

The kind of bug:
{kind}

The bug must show in `{name}` of {path}. You may change these functions, and nothing else:
{functions}

{shown}
{calls}
Answer with these three parts and nothing else:

1. One block for each change. SEARCH is text of the file, exactly as it is, that occurs once in it:

{path}
<<<<<<< SEARCH
old lines
=======
new lines
>>>>>>> REPLACE

2. The exceptions with which failing tests end (AssertionError where a result is wrong):

FAILS WITH: AssertionError

3. A short example that a user could run, which prints another result with the bug than without:

```python
from package import function

print(function(1))
```

Rules: no comments, no imports, no new functions, no change of docstrings, no names that hint at a
bug, at most 40 changed lines. The code must run. Use only the public interface in the example."""

_WORDS: Final = """\
You found a bug in the Python library {package}, and report it. All that you know is this example:

```python
{script}
```

What it does:

```
{actual}
```

What it should do:

```
{expected}
```

Write the title of the report in one line, an empty line, and then one to three short sentences on
what the example does and what it should do. Put code, values and names of exceptions between
backquotes, as they are above. The example and the two outputs are added below your text; do not
repeat them. Say nothing that the example does not show: no causes, no versions, no other calls."""


def bug_prompt(
    project: Project, target: Target, kind: str, examples: Sequence[OracleCase]
) -> Messages:
    """The messages that ask for a bug. examples: known calls, of which some are shown."""
    functions = list(changeable(project, target))
    own = project.sources[target.path]
    calls = [case for case in examples if target.function.node.name in case.expression]
    said = "\n".join(
        f"- {'; '.join([*case.setup.splitlines(), case.expression])} → "
        + (f"raises {case.raises}" if case.raises else repr(case.expected)[:200])
        for case in calls[:_MAX_CALLS]
    )
    text = _BUG.format(
        kind=WRITTEN_KINDS[kind],
        name=target.function.name,
        path=target.path,
        functions="\n".join(f"- {path}: {function.name}" for path, function in functions),
        shown="\n\n".join(_shown(project, own, functions)),
        calls=f"Calls that the tests make, and their results:\n{said}\n" if said else "",
    )
    return [{"role": "user", "content": text}]


def words_prompt(package: str, shown: Reproduction) -> Messages:
    """The messages that ask for a title and sentences about an example."""
    script, expected, actual = shown.script.strip(), shown.expected.text, shown.actual.text
    text = _WORDS.format(package=package, script=script, expected=expected, actual=actual)
    return [{"role": "user", "content": text}]


def changeable(project: Project, target: Target) -> Iterator[tuple[str, Function]]:
    """The function, and those that it calls or that call it, by path; all of one split."""
    yield target.path, target.function
    split, names = split_of(project.name, target.id), _called(target.function)
    for path, source in project.sources.items():
        for function in source.functions:
            related = function.node.name in names or target.function.node.name in _called(function)
            other = (path, function.name) != (target.path, target.function.name)
            if other and related and split_of(project.name, f"{path}:{function.name}") == split:
                yield path, function


def _called(function: Function) -> set[str]:
    """The names that a function uses."""
    nodes = list(ast.walk(function.node))
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    return names | {node.attr for node in nodes if isinstance(node, ast.Attribute)}


def _shown(
    project: Project, own: Source, functions: Sequence[tuple[str, Function]]
) -> Iterator[str]:
    """The file of the function, and the functions of other files, as far as there is room."""
    left = MAX_SHOWN
    whole = len(own.text) <= MAX_SHOWN // 2
    if whole:
        left -= len(own.text)
        yield f"{own.path}:\n```python\n{own.text.rstrip()}\n```"
    for path, function in functions:
        source = project.sources[path]
        begin, end = source.line_start(function.first), source.line_start(function.last + 1)
        text = source.data[begin:end].decode()
        if (whole and path == own.path) or len(text) > left:
            continue
        left -= len(text)
        yield f"{path}, from line {function.first}:\n```python\n{text.rstrip()}\n```"
