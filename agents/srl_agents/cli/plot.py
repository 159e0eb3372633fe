"""``srl-env plot``: the figures and tables of a paper."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from srl_agents.cli.console import errors, output

FIGURES = "figures"


app = typer.Typer()


def plot_command(paths: Sequence[Path], out: Path | None, formats: Sequence[str] | None) -> None:
    """Writes the figures and tables, and says which."""
    from srl_agents.view.plots import FORMATS, plot

    beside = paths[0] / FIGURES if len(paths) == 1 and paths[0].is_dir() else Path(FIGURES)
    with errors.status("Drawing …"):
        made = plot(paths, out or beside, formats or FORMATS)
    for note in made.notes:
        errors.print(note, style="yellow", markup=False, highlight=False)
    output.print(f"{len(made.files)} files in {out or beside}:", soft_wrap=True, markup=False)
    for name in dict.fromkeys(file.stem for file in made.files):
        kinds = ", ".join(file.suffix[1:] for file in made.files if file.stem == name)
        output.print(f"  {name} ({kinds})", soft_wrap=True, markup=False, highlight=False)


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
        Path | None, typer.Option("--out", "-o", help="Folder. [RUN/figures, or figures]")
    ] = None,
    formats: Annotated[
        list[str] | None, typer.Option("--format", help="png, svg, pdf; may be repeated. [all]")
    ] = None,
) -> None:
    """The figures and tables of a paper: curves, success by difficulty and step, numbers."""

    plot_command(runs, out, formats)
