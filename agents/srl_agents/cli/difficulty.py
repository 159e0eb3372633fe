"""``srl-env difficulty``: how hard problems are for a policy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from srl_agents.cli.folders import write_json
from srl_agents.cli.options import Folder
from srl_agents.cli.user_errors import boundary
from srl_env.errors import BadOption

app = typer.Typer()


_DIFFICULTY = (
    "[bold]srl-env eval -m runs/base/model -e srl/GSM8K-v0 --split train -n 2000 -r 16"
    " -o runs/rated[/]\n\n"
    "[bold]srl-env difficulty runs/rated -b hard -b unsolved -o hard.json[/]\n\n"
    "[bold]srl-env train --config run.toml --set env.problems=hard.json[/]  on those alone"
)


@app.command(epilog=_DIFFICULTY)
@boundary
def difficulty(
    folder: Folder,
    bands: Annotated[
        list[str] | None,
        typer.Option("--band", "-b", help="unsolved, hard, medium or easy; may be repeated."),
    ] = None,
    hard_below: Annotated[float, typer.Option(help="pass@1 of a hard problem.")] = 0.25,
    easy_from: Annotated[float, typer.Option(help="pass@1 of an easy problem.")] = 0.75,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File of the bands' problems, for training.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
) -> None:
    """How hard problems are for a policy, by how often it solved them; a filter for training."""
    from srl_agents.cli.console import output
    from srl_agents.cli.tables import difficulty_table
    from srl_agents.evaluation.difficulty import check_bands, rate
    from srl_agents.evaluation.folder import open_evaluation

    chosen = bands or ["unsolved", "hard"]
    check_bands(chosen)
    if out is not None and out.exists() and not force:
        raise BadOption(f"{out} exists; choose another, or replace it (--force)")
    found = rate(open_evaluation(folder), hard_below=hard_below, easy_from=easy_from)
    output.print(difficulty_table(found))
    if out is not None:
        count = len(found.of(chosen))
        if not count:
            raise BadOption(f"no problem is {' or '.join(chosen)}; {out} was not written")
        write_json(out, found.to_json(chosen))
        typer.echo(f"{out}: {count} problems ({', '.join(chosen)})")
