"""``srl-env plot``: the figures and tables of a paper."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from srl_agents.cli.console import errors, output

app = typer.Typer()

FIGURES = "figures"


@app.command(
    epilog="[bold]srl-env plot runs/compare[/]  into runs/compare/figures\n\n"
    "[bold]srl-env plot runs/first runs/second -o figures --format pdf[/]"
)
def plot(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN…", help="Folders of runs, comparisons, evaluations."),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder to write. By default RUN/figures, or figures."),
    ] = None,
    formats: Annotated[
        list[str] | None,
        typer.Option("--format", help="Format: png, svg or pdf; may be repeated. By default all."),
    ] = None,
) -> None:
    """Draw the figures and tables of a paper: curves, success by difficulty and step, numbers."""
    from srl_agents.view.plots import FORMATS
    from srl_agents.view.plots import plot as draw

    out = out or (runs[0] / FIGURES if len(runs) == 1 and runs[0].is_dir() else Path(FIGURES))
    with errors.status("Drawing …"):
        made = draw(runs, out, formats or FORMATS)
    for note in made.notes:
        errors.print(note, style="yellow", markup=False, highlight=False)
    output.print(f"{len(made.files)} files in {out}:", soft_wrap=True, markup=False)
    for name in dict.fromkeys(file.stem for file in made.files):
        kinds = ", ".join(file.suffix[1:] for file in made.files if file.stem == name)
        output.print(f"  {name} ({kinds})", soft_wrap=True, markup=False, highlight=False)
