"""A problem statement as a user would file it: a call, its result, and the correct result.

It is written from reproductions alone, so that it names only public calls. Every sentence says what
was run, or what a docstring says. The wording depends on the seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from srl_env.seeding import stream
from srl_env.swe.builder.author.sentences import Words
from srl_env.swe.builder.reproduction import Reproduction

# What goes wrong: {kind: titles}.
_TITLES: Final = {
    "value": (
        "`{subject}` gives a wrong result",
        "Wrong result from `{subject}`",
        "Unexpected result of `{subject}`",
        "`{subject}` is off",
        "`{subject}` does not do what it should",
    ),
    "raises": (
        "`{subject}` fails with {actual}",
        "{actual} from `{subject}` on valid input",
        "Unexpected {actual} in `{subject}`",
        "`{subject}` raises {actual} although the call is correct",
    ),
    "accepts": (
        "`{subject}` does not raise {expected}",
        "Missing {expected} from `{subject}`",
        "`{subject}` accepts what it should refuse",
        "No {expected} where `{subject}` should complain",
    ),
    "other": (
        "`{subject}` raises the wrong exception",
        "Wrong error from `{subject}`",
        "`{subject}`: {actual} instead of {expected}",
    ),
}
_OPENINGS: Final = (
    "With {package}, the example below {does}. It should {should}.",
    "The example below {does}. It should {should}.",
    "The code below should {should}. With {package}, it {does}.",
    "This should {should}, but it {does}.",
)
_EXAMPLE: Final = ("To reproduce:", "Example:", "Steps to reproduce:", "Minimal example:", "Code:")
_LABELS: Final = (
    ("What I get:", "What I expect:"),
    ("Actual output:", "Expected output:"),
    ("Actual result:", "Expected result:"),
    ("Current behaviour:", "Expected behaviour:"),
    ("Output:", "What it should be:"),
)
_SEVERAL: Final = (
    "Several things in {package} are wrong",
    "Wrong behaviour of {subjects}",
    "{count} problems with {package}: {subjects}",
    "{subjects} misbehave",
)
_NOTHING: Final = "(nothing)"


def write_statement(
    package: str,
    shown: Sequence[Reproduction],
    key: str,
    seed: int,
    words: Callable[[str, Reproduction], Words] = lambda _, __: Words(),
) -> str:
    """The statement for one bug or several, in Markdown.

    package: what users call the library. key: names the task; it and the seed choose the wording.
    words: gives a title and an opening for an example, "" for those chosen here.
    """
    rng = stream("statement", key, seed)
    sections = []
    for one in shown:
        (title, opening, *rest), said = _section(package, one, rng), words(package, one)
        sections.append([said.title or title, said.opening or opening, *rest])
    if len(shown) == 1:
        return "\n\n".join(sections[0]) + "\n"
    *first, last = (f"`{one.subject or package}`" for one in shown)
    subjects = ", ".join(dict.fromkeys(first)) + f" and {last}"
    title = _pick(rng, _SEVERAL).format(package=package, subjects=subjects, count=len(shown))
    parts = [title]
    for number, (head, *rest) in enumerate(sections, 1):
        parts += [f"## {number}. {head}", *rest]
    return "\n\n".join(parts) + "\n"


def _section(package: str, shown: Reproduction, rng: np.random.Generator) -> list[str]:
    kind = _kind(shown)
    words = {
        "package": package,
        "subject": shown.subject or package,
        "actual": _name(shown.actual.error),
        "expected": _name(shown.expected.error),
        "does": shown.does,
        "should": shown.should,
    }
    labels = _LABELS[int(rng.integers(len(_LABELS)))]
    return [
        _pick(rng, _TITLES[kind]).format(**words),
        _pick(rng, _OPENINGS).format(**words),
        *_documented(shown),
        f"{_pick(rng, _EXAMPLE)}\n\n```python\n{shown.script.strip()}\n```",
        f"{labels[0]}\n\n```\n{shown.actual.text or _NOTHING}\n```",
        f"{labels[1]}\n\n```\n{shown.expected.text or _NOTHING}\n```",
    ]


def _documented(shown: Reproduction) -> list[str]:
    """What the docstring of the subject says: what is right in general, not in one example."""
    if not shown.documented:
        return []
    return [f"The documentation of `{shown.subject}` says: {shown.documented}"]


def _pick(rng: np.random.Generator, choices: Sequence[str]) -> str:
    return choices[int(rng.integers(len(choices)))]


def _kind(shown: Reproduction) -> str:
    actual, expected = _name(shown.actual.error), _name(shown.expected.error)
    if actual == expected:
        return "value"
    if not expected:
        return "raises"
    return "other" if actual else "accepts"


def _name(error: str) -> str:
    """The exception's type, without its module."""
    return error.partition(":")[0].rpartition(".")[2]
