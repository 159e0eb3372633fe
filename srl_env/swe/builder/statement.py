"""A problem statement as a user would file it: what was called, what came back, what is right.

It is written from reproductions alone, so that it names nothing but the public call that goes
wrong; wording varies with the seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol, TypeVar

from srl_env.seeding import stream
from srl_env.swe.builder.reproduction import Reproduction

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
        "`{subject}` raises {actual} although nothing is wrong with the call",
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
_OPENINGS: Final = {
    "value": (
        "I ran into this while using {package}: `{subject}` does not give what I expect.",
        "Using {package}, I get a result from `{subject}` that cannot be right.",
        "The following looks like a bug in {package}.",
        "`{subject}` seems to be wrong for some inputs. A small example is below.",
        "I compared {package} with what I computed by hand, and `{subject}` disagrees.",
    ),
    "raises": (
        "This should work with {package}, but it ends in an exception.",
        "A call that I believe to be valid fails.",
        "`{subject}` fails for me on input that used to be fine.",
        "The example below ends with {actual}; as far as I can see the call is right.",
    ),
    "accepts": (
        "I expected an error here, but nothing of the kind is raised.",
        "`{subject}` goes on where {package} should have refused the input.",
        "Bad input slips through `{subject}`.",
        "According to what {package} promises, this should raise {expected}.",
    ),
    "other": (
        "The error that I get is not the one I expected, so my `except` never catches it.",
        "`{subject}` fails as it should, but with the wrong exception.",
        "My error handling broke: {package} raises something else than before.",
    ),
}
_EXAMPLE: Final = (
    "To reproduce:",
    "Example:",
    "Steps to reproduce:",
    "This is enough to see it:",
    "Minimal example:",
    "Code:",
)
_LABELS: Final = (
    ("What I get:", "What I expect:"),
    ("Actual output:", "Expected output:"),
    ("It prints:", "It should print:"),
    ("Current behaviour:", "Expected behaviour:"),
    ("Output:", "What it should be:"),
)
_CLOSINGS: Final = (
    "",
    "",
    "Please have a look.",
    "Other inputs may be affected as well.",
    "I have not looked into the cause.",
    "The rest of the library works for me.",
)
_SEVERAL: Final = (
    "Several things in {package} are wrong",
    "Wrong behaviour of {subjects}",
    "{count} problems with {package}: {subjects}",
    "{subjects} misbehave",
)
_NOTHING: Final = "(nothing)"

T = TypeVar("T")


class Pick(Protocol):
    """Chooses one of several wordings."""

    def __call__(self, choices: Sequence[T]) -> T: ...


def write_statement(package: str, shown: Sequence[Reproduction], key: str, seed: int) -> str:
    """The statement for one bug or several, in Markdown.

    package: what users call the library. key: names the task; wording is drawn from it and seed.
    """
    rng = stream("statement", key, seed)

    def pick(choices: Sequence[T]) -> T:
        return choices[int(rng.integers(len(choices)))]

    sections = [_section(package, one, pick, pick(_LABELS)) for one in shown]
    closing = pick(_CLOSINGS)
    if len(shown) == 1:
        return "\n\n".join(filter(None, (*sections[0], closing))) + "\n"
    subjects = [f"`{one.subject or package}`" for one in shown]
    listed = ", ".join(dict.fromkeys(subjects[:-1])) + f" and {subjects[-1]}"
    title = pick(_SEVERAL).format(package=package, subjects=listed, count=len(shown))
    parts = [title]
    for number, (head, *rest) in enumerate(sections, 1):
        parts += [f"## {number}. {head}", *rest]
    return "\n\n".join(filter(None, (*parts, closing))) + "\n"


def _section(package: str, shown: Reproduction, pick: Pick, labels: tuple[str, str]) -> list[str]:
    kind = _kind(shown)
    words = {
        "package": package,
        "subject": shown.subject or package,
        "actual": _name(shown.actual.error),
        "expected": _name(shown.expected.error),
    }
    get, expect = labels
    return [
        pick(_TITLES[kind]).format(**words),
        pick(_OPENINGS[kind]).format(**words),
        f"{pick(_EXAMPLE)}\n\n```python\n{shown.script.strip()}\n```",
        f"{get}\n\n```\n{shown.actual.text or _NOTHING}\n```",
        f"{expect}\n\n```\n{shown.expected.text or _NOTHING}\n```",
    ]


def _kind(shown: Reproduction) -> str:
    if shown.actual.error and shown.expected.error:
        same = _name(shown.actual.error) == _name(shown.expected.error)
        return "value" if same else "other"
    if shown.actual.error:
        return "raises"
    return "accepts" if shown.expected.error else "value"


def _name(error: str) -> str:
    """The exception's type, without its module."""
    return error.partition(":")[0].rpartition(".")[2]
