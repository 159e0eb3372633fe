"""The command ``srl-env``: environments listed and checked, policies trained, evaluated, compared.

A command is a file here, named in ``COMMANDS``. Other packages add commands through the entry point
group ``srl_env.commands``. Both are a ``typer.Typer`` called ``app``.

A command imports what it needs when it runs: ``--help``, ``list`` and ``check`` work without torch.
A user's mistake ends with one line and exit code 2, another error of the library with one line and
1, Ctrl-C with 130.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points

import typer
from typer.core import TyperCommand

from srl_agents.cli.user_errors import ValueNamingCommand, one_line_errors

COMMANDS = (
    "list init check play fetch train eval compare view plot data swe rescore difficulty monitor"
    " probe suggest serve"
)

app = typer.Typer(
    name="srl-env",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,
    help="Reasoning problems as environments; language models trained on them by SRL and RLVR.",
    epilog="Start with [bold]srl-env list[/], then"
    " [bold]srl-env eval -m expert -e srl/ModularChain-v0[/].",
)


def _add(commands: typer.Typer) -> None:
    _guard(commands)
    app.add_typer(commands)


def _guard(commands: typer.Typer) -> None:
    """Makes errors of the library end with one line, in every command."""
    for command in commands.registered_commands:
        if command.callback is not None:
            command.callback = one_line_errors(command.callback)
        if command.cls is TyperCommand:
            command.cls = ValueNamingCommand
    for group in commands.registered_groups:
        if group.typer_instance is not None:
            _guard(group.typer_instance)


def _add_installed() -> None:
    """Adds the commands of other packages; a package that fails to load must not break ours."""
    for point in entry_points(group="srl_env.commands"):
        try:
            _add(point.load())
        except Exception as error:  # noqa: BLE001  # the boundary to other people's packages
            reason = f"{type(error).__name__}: {error}"
            typer.echo(f"warning: command {point.name!r} cannot be loaded: {reason}", err=True)


for _name in COMMANDS.split():
    _add(import_module(f"srl_agents.cli.{_name}").app)
_add_installed()
