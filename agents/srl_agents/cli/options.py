"""Options that several verbs take, and how they are read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from srl_env.errors import BadOption


def json_object(text: str, option: str = "--kwargs") -> dict[str, Any]:
    """The object in an option's text; BadOption where it is none."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise BadOption(f"{option} is JSON, as '{{\"difficulty\": 9}}'; {error}") from None
    if not isinstance(value, dict):
        raise BadOption(f"{option} is a JSON object, as '{{\"difficulty\": 9}}'; got {text}")
    return value


Flags = Mapping[str, Any]
"""{dotted configuration key: value, None where the option was not given}."""


def with_flags(tree: Mapping[str, Any], flags: Flags) -> dict[str, Any]:
    """The tree with the value of each option that was given."""
    from srl_agents.runs.settings import merged

    for key, value in flags.items():
        if value is not None:
            change: Any = value
            for part in reversed(key.split(".")):
                change = {part: change}
            tree = merged(tree, change)
    return dict(tree)


Env = Annotated[
    str | None,
    typer.Option("--env", "-e", help="Environment: an id, steps:FILE.jsonl, or FILE.py."),
]


Kwargs = Annotated[
    str, typer.Option("--kwargs", help="Arguments of the environment, as JSON.", metavar="JSON")
]


Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", help="Set one thing, as train.lr=3e-4; may be repeated."),
]


Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="That srl-env eval wrote.")]


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
