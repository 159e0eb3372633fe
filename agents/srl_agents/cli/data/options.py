"""Options that several verbs of ``srl-env data`` take."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from srl_env.errors import BadOption

Paths = Annotated[
    list[Path], typer.Argument(help="Files and folders of data, in one form.", metavar="PATH…")
]


FormName = Annotated[
    str | None,
    typer.Option("--form", "-f", help="Name of the form, where it is not found out rightly."),
]


Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        "-c",
        help="Where prompt, steps, solution, answer or id stand, as solution=response; may be"
        " repeated.",
    ),
]


SplitterName = Annotated[
    str | None,
    typer.Option(
        "--splitter",
        "-s",
        help="How a raw solution becomes steps: numbered, paragraphs, lines, calculations,"
        " sentences, or your own module:function.",
    ),
]


JoinBelow = Annotated[
    int, typer.Option(min=0, help="Join steps of fewer characters with their neighbour.")
]


AnswerStep = Annotated[
    str | None,
    typer.Option(
        help="A last step for solutions that do not state their answer, as '#### {answer}'."
    ),
]


ResolvedOnly = Annotated[
    bool, typer.Option("--resolved-only", help="Agents' trajectories that solved their task only.")
]


Shares = Annotated[
    list[str] | None,
    typer.Option(
        "--split",
        help="A split to make and its share, as train=0.9; may be repeated, together 1. [as the"
        " files are named]",
    ),
]


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def read_data(
    paths: Sequence[Path],
    form: str | None,
    columns: Sequence[str] | None,
    splitter: str | None,
    join_below: int,
    answer_step: str | None,
    resolved_only: bool,
) -> Any:
    from srl_env.data.forms.detect import read_problems
    from srl_env.data.forms.form import ReadOptions

    pairs = dict(_pair("--column", "solution=response", text) for text in columns or [])
    options = ReadOptions(form, pairs, splitter, join_below, answer_step, resolved_only)
    return read_problems(paths, options)


def split_shares(texts: Sequence[str] | None) -> dict[str, float] | None:
    """The splits to make; None where none are named."""
    if not texts:
        return None
    pairs = [_pair("--split", "train=0.9", text) for text in texts]
    try:
        shares = {name: float(share) for name, share in pairs}
    except ValueError:
        raise BadOption(f"--split gives a share as a number, as train=0.9; got {texts}") from None
    if abs(sum(shares.values()) - 1) > 1e-9 or min(shares.values()) < 0 or len(shares) < len(texts):
        raise BadOption(f"the shares of --split are together 1, each split once; got {shares}")
    return shares


def _pair(option: str, example: str, text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise BadOption(f"{option} is written as {option} {example}; got {text!r}")
    return name, value
