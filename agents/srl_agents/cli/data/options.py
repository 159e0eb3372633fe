"""Options that all verbs of ``srl-env data`` take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from srl_agents.cli.options import options_of
from srl_env.data.forms.form import ReadOptions

if TYPE_CHECKING:
    from srl_env.data.forms.detect import Reading

Paths = Annotated[
    list[Path], typer.Argument(help="Files and folders of data, in one form.", metavar="PATH…")
]

reading_options = options_of(
    ReadOptions,
    flags={"form": "-f", "columns": "--column -c", "splitter": "-s", "splits": "--split"},
)
"""The decorator that gives a verb the options of ``ReadOptions``."""


def read_data(paths: Sequence[Path], given: Mapping[str, Any]) -> Reading:
    """The data at some paths. given: all options that were set, also others."""
    from srl_env.data.forms.detect import read_problems

    return read_problems(paths, ReadOptions(**chosen(ReadOptions, given)))


def chosen(kind: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options that are fields of a dataclass."""
    return {field.name: given[field.name] for field in fields(kind) if field.name in given}
