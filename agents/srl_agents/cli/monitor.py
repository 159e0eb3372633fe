"""``srl-env monitor``: signs of shortcuts in an evaluation."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from srl_agents.cli.options import AsJson

app = typer.Typer()


@app.command(
    epilog="[bold]srl-env monitor runs/eval-base-001 runs/eval-trained-001[/]  side by side\n\n"
    "Compare with the base model: no number means much alone."
)
def monitor(
    folders: Annotated[
        list[Path], typer.Argument(metavar="FOLDER…", help="Folders written by `srl-env eval`.")
    ],
    as_json: AsJson = False,
) -> None:
    """Look for signs of shortcuts: repeated answers, skipped work, steps without connection."""
    from srl_agents.cli.console import output
    from srl_agents.cli.tables import monitor_table
    from srl_agents.evaluation.folder import open_evaluation
    from srl_agents.evaluation.monitors import estimates
    from srl_agents.evaluation.monitors import monitor as measure

    found = {
        str(folder): estimates(measure(open_evaluation(folder)), folder.name) for folder in folders
    }
    if as_json:
        plain = {f: {n: asdict(e) for n, e in numbers.items()} for f, numbers in found.items()}
        typer.echo(json.dumps(plain, indent=1))
    else:
        output.print(monitor_table(found))
