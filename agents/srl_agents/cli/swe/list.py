"""``srl-env swe list``: the tasks of a folder."""

from __future__ import annotations

from typing import Annotated

import typer

from srl_agents.cli.swe.validate import Folder

app = typer.Typer()


@app.command("list")
def list_tasks(
    folder: Folder,
    split: Annotated[str | None, typer.Option(help="Only train, dev or test.")] = None,
) -> None:
    """Lists the tasks of a folder."""
    from srl_agents.cli.console import output
    from srl_agents.cli.swe.views import task_table
    from srl_env.swe.task_folder import TaskSet

    tasks = TaskSet(folder)
    output.print(task_table(tasks.name, [tasks.task(name) for name in tasks.select(split=split)]))
