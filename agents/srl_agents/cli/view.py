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
    "[bold]srl-env view runs/first --page 2 --where verdict=wrong[/]  lists episodes, also of"
    " millions; [bold]--episode NO.[/] shows one"
)
def view(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN…", help="Folders of runs, comparisons, evaluations; files of a log."
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
            " failure=, group=, form=, part=, text=; may be repeated. Episodes have no step=,"
            " group=, form= and text=.",
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
    page: Annotated[
        int | None, typer.Option(min=1, help="Page of the list of episodes, in the terminal.")
    ] = None,
    episode: Annotated[
        int | None, typer.Option(min=0, help="Number of an episode in its list, in the terminal.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the episode as one JSON object.")
    ] = False,
    tokens: Annotated[
        bool, typer.Option(help="Include token ids and log-probs in the page.")
    ] = True,
) -> None:
    """Show what happened in a run, step by step: one HTML page that needs no network."""
    from srl_agents.view.index import MOST_STEPS
    from srl_agents.view.page import write_page
    from srl_agents.view.paging import show_episode, show_page
    from srl_agents.view.sources import find_runs
    from srl_agents.view.terminal import show

    if page is not None or episode is not None:
        if terminal or out is not None or step is not None or steps is not None:
            raise BadOption("--page and --episode list episodes; leave out the other views")
        if episode is None:
            show_page(find_runs(runs), output, number=page or 1, filters=where or [])
        else:
            show_episode(find_runs(runs), output, episode, as_json=as_json)
        return
    if as_json:
        raise BadOption("--json must be with --episode; got neither an episode nor its number")
    if terminal and out is not None:
        raise BadOption("--terminal writes no page; leave --out or --terminal out")
    if not terminal and (where or step is not None):
        raise BadOption(
            "--where and --step must be with --terminal, or --where with --page; the page has its"
            " own filters"
        )
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
