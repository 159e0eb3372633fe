"""``srl-env swe validate``: whether the right code of each task passes."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from srl_agents.cli.swe.options import Folder

app = typer.Typer()


_VALIDATE_EPILOG = "[bold]srl-env swe validate tasks --times 20[/]"


@app.command(epilog=_VALIDATE_EPILOG)
def validate(
    folder: Folder,
    times: Annotated[int, typer.Option(min=1, help="How often the right code is graded.")] = 20,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, help="At a time. [one a core]")
    ] = None,
) -> None:
    """Whether the right code of each task always passes, and the unchanged one never does."""
    from srl_agents.cli.console import output
    from srl_agents.cli.swe.views import BuildBar, validation_table
    from srl_env.swe.builder import BuildProgress, validate_tasks
    from srl_env.swe.task_folder import TaskSet

    tasks = TaskSet(folder)
    started = time.monotonic()
    with BuildBar(tasks.name) as bar:

        def show(done: int, total: int) -> None:
            bar.show(BuildProgress("grading", done / total, done))

        found = validate_tasks(tasks, times=times, jobs=jobs, on_progress=show)
    output.print(validation_table(found, times))
    bad = [item for item in found if not item.sound]
    seconds = time.monotonic() - started
    typer.echo(f"{len(found) - len(bad)} of {len(found)} tasks are sound ({seconds:.0f} s)")
    if bad:
        raise typer.Exit(1)
