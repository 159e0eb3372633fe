"""``srl-env swe validate``: whether the correct code of each task passes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from srl_env.swe.builder.validation import Validation

app = typer.Typer()

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of tasks.")]


@app.command(
    epilog="[bold]srl-env swe validate tasks --times 20[/]  the same command resumes after Ctrl-C"
)
def validate(
    folder: Folder,
    times: Annotated[int, typer.Option(min=1, help="Gradings of the correct code.")] = 20,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, help="Tasks at a time. [one per core]")
    ] = None,
) -> None:
    """Checks that each task's correct code always passes, and its unchanged code never does."""
    from srl_agents.cli.console import output
    from srl_agents.cli.swe.views import BuildBar, validation_table
    from srl_env.swe.builder.validation import progress_path, validate_tasks
    from srl_env.swe.task_folder import TaskSet

    tasks = TaskSet(folder)
    started, progress = time.monotonic(), progress_path(tasks, times)
    try:
        with BuildBar(tasks.name) as bar:

            def show(found: list[Validation], total: int) -> None:
                bad = sum(not item.sound for item in found)
                note = f"{len(found)} of {total} graded" + (f", {bad} not sound" if bad else "")
                bar.update(len(found) / total, note)

            found = validate_tasks(
                tasks, times=times, jobs=jobs, on_progress=show, progress=progress
            )
    except KeyboardInterrupt:
        typer.echo("Interrupted. Progress is saved; the same command resumes.", err=True)
        raise typer.Exit(130) from None
    output.print(validation_table(found, times))
    bad = [item for item in found if not item.sound]
    seconds = time.monotonic() - started
    typer.echo(f"{len(found) - len(bad)} of {len(found)} tasks are sound ({seconds:.0f} s)")
    if bad:
        raise typer.Exit(1)
