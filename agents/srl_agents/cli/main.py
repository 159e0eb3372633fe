"""The command ``srl-env``: environments listed and checked, policies trained, evaluated, compared.

Only what a command needs is imported, when it runs: ``--help``, ``list`` and ``check`` work
without torch. Users' mistakes end with one line and exit code 2, other errors of the library
with one line and 1, Ctrl-C with 130.
"""

from __future__ import annotations

import typer

from srl_agents.cli import (
    check,
    compare,
    data,
    difficulty,
    eval,
    init,
    list,
    monitor,
    play,
    plot,
    probe,
    rescore,
    swe,
    train,
    view,
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

app.add_typer(list.app)
app.add_typer(init.app)
app.add_typer(check.app)
app.add_typer(play.app)
app.add_typer(train.app)
app.add_typer(eval.app)
app.add_typer(compare.app)
app.add_typer(view.app)
app.add_typer(plot.app)
app.add_typer(data.app, name="data")
app.add_typer(swe.app, name="swe")
app.add_typer(rescore.app)
app.add_typer(difficulty.app)
app.add_typer(monitor.app)
app.add_typer(probe.app)
