"""``srl-env view``: what happened in a run, as a page or in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from srl_agents.cli.console import errors, output
from srl_env.errors import BadOption

if TYPE_CHECKING:
    from srl_agents.view.sources import ViewedRun

app = typer.Typer()

PAGE = "view.html"


@app.command(
    epilog="[bold]srl-env view runs/first[/]  writes runs/first/view.html\n\n"
    "[bold]srl-env view runs/compare runs/eval-first-001 -o both.html[/]\n\n"
    "[bold]srl-env view runs/first --terminal --where group=dropped --where step=0-2[/]\n\n"
    "[bold]srl-env view runs/first --columns first.parquet[/]  for very many episodes; then"
    " [bold]srl-env view first.parquet --page 2 --where verdict=wrong[/]"
)
def view(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN…", help="Folders of runs, comparisons, evaluations; files of rollouts."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Page to write. By default RUN/view.html."),
    ] = None,
    terminal: Annotated[
        bool, typer.Option("--terminal", "-t", help="Show the runs here instead of writing a page.")
    ] = False,
    where: Annotated[
        list[str] | None,
        typer.Option(
            help="Filter of steps, in the terminal: run=, problem=, step=, reward=, verdict=,"
            " failure=, group=, form=, part=, text=; may be repeated.",
            metavar="NAME=VALUE",
        ),
    ] = None,
    step: Annotated[
        int | None, typer.Option(min=0, help="Number of a step in the list, in the terminal.")
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Maximum number of steps, evenly chosen. By default 200000."),
    ] = None,
    columns: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.parquet",
            help="File of columns to write, one row for each episode, instead of a page.",
        ),
    ] = None,
    page: Annotated[
        int | None, typer.Option(min=1, help="Page to show of a file of columns.")
    ] = None,
    tokens: Annotated[
        bool, typer.Option(help="Include token ids and log-probs in the page.")
    ] = True,
) -> None:
    """Show what happened in a run, step by step: one HTML page that needs no network."""
    from srl_agents.view.columns import SUFFIX, write_columns
    from srl_agents.view.index import MOST_STEPS
    from srl_agents.view.page import write_page
    from srl_agents.view.paging import show_episode, show_page
    from srl_agents.view.sources import find_runs
    from srl_agents.view.terminal import show

    if len(runs) == 1 and runs[0].suffix == SUFFIX:
        if terminal or out is not None or columns is not None:
            raise BadOption(f"{runs[0]} is shown by page in the terminal; take --page or --step")
        if step is not None:
            show_episode(runs[0], output, step)
        else:
            show_page(runs[0], output, number=page or 1, filters=where or [])
        return
    if page is not None:
        raise BadOption(f"--page is for a file of columns; got {runs[0]}. Fix: --columns makes one")
    if columns is not None:
        if columns.suffix != SUFFIX:
            raise BadOption(f"--columns must be a file that ends with {SUFFIX}; got {columns}")
        count = write_columns(find_runs(runs), columns)
        output.print(f"Columns: {columns} ({count:,} episodes)", soft_wrap=True, markup=False)
        return
    if terminal and out is not None:
        raise BadOption("--terminal writes no page; leave --out or --terminal out")
    if not terminal and (where or step is not None):
        raise BadOption("--where and --step are for --terminal; the page has its own filters")
    found, most = find_runs(runs), steps or MOST_STEPS
    if terminal:
        show(found, output, filters=where or [], step=step, most_steps=most)
        return
    path = out or _page(runs, found)
    with errors.status("Reading rollouts …"):
        write_page(found, path, most_steps=most, tokens=tokens)
    size = path.stat().st_size / 1e6
    output.print(
        f"Page: {path} ({size:.1f} MB); open it in a browser", soft_wrap=True, markup=False
    )


def _page(paths: Sequence[Path], runs: Sequence[ViewedRun]) -> Path:
    """The page in the folder that was given; in the current folder for several."""
    if len(paths) > 1:
        return Path(PAGE)
    return paths[0] / PAGE if paths[0].is_dir() else runs[0].folder / PAGE
