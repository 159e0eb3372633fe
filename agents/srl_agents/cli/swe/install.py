"""``srl-env swe install``: the packages that a folder's tasks need."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def install(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of tasks.")],
) -> None:
    """Installs the packages that tasks need: wheels are downloaded, and unpacked in a sandbox."""
    from srl_env.sandbox import open_sandbox
    from srl_env.swe.dependencies.install import restore_environment
    from srl_env.swe.task_folder import TaskSet

    tasks = TaskSet(folder)
    found = (tasks.repository(name).environment for name in tasks.repositories)
    environments = dict.fromkeys(filter(None, found))
    if not environments:
        typer.echo(f"The tasks in {folder} need no environment.")
        return
    sandbox = open_sandbox()
    try:
        for environment in environments:
            restore_environment(sandbox, environment)
            typer.echo(f"{environment.folder}: {', '.join(environment.packages) or 'no packages'}")
    finally:
        sandbox.close()
