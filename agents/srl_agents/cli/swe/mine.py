"""``srl-env swe mine``: tasks made from a git repository's own commits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from srl_agents.cli.options import options_of
from srl_env.errors import BadOption
from srl_env.swe.mining.options import MineOptions

if TYPE_CHECKING:
    from rich.table import Table

    from srl_env.swe.mining import MineProgress, MineReport

app = typer.Typer()


@app.command(
    epilog="[bold]srl-env swe mine . --out tasks --since 2020-01-01[/]  the same command continues"
)
@options_of(MineOptions, flags={"jobs": "-j"})
def mine(
    path: Annotated[Path, typer.Argument(help="Git repository of a Python project.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the tasks.")],
    issues: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help='JSON file of issues with "number", "title" and "body".',
        ),
    ] = None,
    **given: Any,
) -> None:
    """Makes tasks from commits that fix a behaviour and test it."""
    from srl_env.swe.mining.mine import mine_tasks
    from srl_env.swe.mining.statement import read_issues

    options, told = MineOptions(**given), read_issues(issues) if issues else {}
    with mining_shown(options.name or path.resolve().name.removesuffix(".git")) as show:
        report = mine_tasks(path, out, options, issues=told, on_progress=show)
    print_report(report, out, "commit")


@contextmanager
def mining_shown(name: str) -> Iterator[Callable[[MineProgress], None]]:
    """A progress bar, as a function of the progress. An interruption ends the process."""
    from srl_agents.cli.console import progress_bars

    try:
        with progress_bars() as bars:
            bar = bars.add_task(name, total=1.0, note="reading the history")

            def show(progress: MineProgress) -> None:
                note = f"{progress.done} of {progress.total} tried, {progress.kept} tasks"
                bars.update(bar, completed=progress.done / progress.total, note=note)

            yield show
    except KeyboardInterrupt:
        typer.echo("Interrupted. Progress is saved; the same command continues.", err=True)
        raise typer.Exit(130) from None


def print_report(report: MineReport, out: Path, one: str) -> None:
    """Prints what came of the commits or rows. one: the word for one of them.

    Raises BadOption if no task was made.
    """
    from srl_agents.cli.console import output

    rate = f"{report.per_minute:.0f} {one}s a minute"
    tasks = "1 task" if report.kept == 1 else f"{report.kept} tasks"
    typer.echo(f"{report.name}: {tasks} in {report.seconds:.0f} s ({rate})")
    output.print(_table(report, one))
    typer.echo(f"Tasks: {out}\nReport: {out / f'mined-{report.name}.json'}")
    typer.echo(f"Check them: srl-env swe validate {out}")
    if not report.commits:
        raise BadOption(f"there is no {one} to make a task of")
    if not report.kept:
        raise BadOption(f"no {one} made a task; the table says why")


def _table(report: MineReport, one: str) -> Table:
    """The tasks, and the commits or rows that made none, by reason."""
    from rich.table import Table
    from rich.text import Text

    grid = Table()
    grid.add_column("what")
    grid.add_column("count", justify="right")
    grid.add_row(f"{one}s", str(report.commits), end_section=True)
    for reason, count in report.dropped.items():
        grid.add_row(Text(f"dropped: {reason}"), str(count))
    grid.add_row("tasks", str(report.kept))
    return grid
