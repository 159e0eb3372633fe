"""``srl-env difficulty``: how hard problems are for a policy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from srl_agents.cli.options import Folder
from srl_env.errors import BadOption

app = typer.Typer()


@app.command(
    epilog="[bold]srl-env eval -m runs/base/model -e srl/GSM8K-v0 --split train -n 2000 -r 16"
    " -o runs/rated[/]\n\n"
    "[bold]srl-env difficulty runs/rated -b hard -b unsolved -o hard.json[/]\n\n"
    "[bold]srl-env train --config run.toml --set env.problems=hard.json[/]  trains on these alone"
)
def difficulty(
    folder: Folder,
    bands: Annotated[
        list[str] | None,
        typer.Option(
            "--band",
            "-b",
            help="Band to write: unsolved, hard, medium or easy; may be repeated. By default"
            " unsolved and hard.",
        ),
    ] = None,
    hard_below: Annotated[float, typer.Option(help="Upper bound of pass@1 for hard.")] = 0.25,
    easy_from: Annotated[float, typer.Option(help="Lower bound of pass@1 for easy.")] = 0.75,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File of these problems, for training.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
) -> None:
    """Rate problems by how often a policy solved them; write a filter for training."""
    from srl_agents.cli.console import output
    from srl_agents.cli.tables import difficulty_table
    from srl_agents.evaluation.difficulty import rate
    from srl_agents.evaluation.folder import open_evaluation

    bands = bands or ["unsolved", "hard"]
    if out is not None and out.exists() and not force:
        raise BadOption(f"--out must be a new file; got {out}. Fix: --force replaces it")
    found = rate(open_evaluation(folder), hard_below=hard_below, easy_from=easy_from)
    count = int(found.of(bands).sum())
    output.print(difficulty_table(found))
    if out is not None:
        if not count:
            raise BadOption(f"no problem is {' or '.join(bands)}; {out} was not written")
        found.write(out, bands)
        typer.echo(f"{out}: {count} problems ({', '.join(bands)})")
