"""The reference of the command line, from the commands themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer

from srl_agents.cli.main import app


def commands() -> str:
    """A section for each command: what it does, its arguments, its options, examples."""
    return "\n\n".join(_sections(typer.main.get_command(app), "srl-env"))


def _sections(command: Any, name: str) -> Iterator[str]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield _section(command, name)
        return
    for key, one in inner.items():
        yield from _sections(one, f"{name} {key}")


def _section(command: Any, name: str) -> str:
    rows = [_row(parameter) for parameter in command.params if parameter.name != "help"]
    table = ["| argument, option | what it is |", "|---|---|", *rows] if rows else []
    return "\n".join(
        [f"## {name}", "", _plain(command.help or ""), "", *_examples(command.epilog), *table]
    )


def _row(parameter: Any) -> str:
    names = parameter.opts + parameter.secondary_opts
    if parameter.param_type_name == "argument":
        names = [parameter.metavar or parameter.name.upper()]
    given = parameter.default
    shown = "" if given in (None, False, [], "", ()) or callable(given) else f" Default: `{given}`."
    about = re.sub(r"\\\[default: (.+)\]$", r"Default: `\1`.", _plain(parameter.help or ""))
    return f"| `{'`, `'.join(names)}` | {about}{shown} |".replace("||", "\\|\\|")


def _examples(epilog: str | None) -> list[str]:
    """The lines of an epilog, those that begin in bold as commands."""
    lines = [line for line in (epilog or "").split("\n\n") if line.strip()]
    examples, words = [], []
    for line in lines:
        found = re.match(r"\[bold\](.*?)\[/\]\s*(.*)", line)
        if found:
            examples.append(found[1] + (f"  # {_bare(found[2])}" if found[2] else ""))
        else:
            words += [_plain(line), ""]
    return (["```sh", *examples, "```", ""] if examples else []) + words


def _bare(text: str) -> str:
    return re.sub(r"(?<!\\)\[/?\w*\]", "", text).replace("\\[", "[").strip()


def _plain(text: str) -> str:
    """Text for a cell or a paragraph of Markdown."""
    plain = " ".join(_bare(text).split())
    return plain.replace("|", "\\|").replace("<", "&lt;").replace("[", "\\[")
