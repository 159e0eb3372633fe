"""``srl-env swe export``: tasks as rows of SWE-bench or SWE-smith, with git repositories."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command(epilog="[bold]srl-env swe export tasks --format swe-bench --out rows[/]")
def export(
    tasks: Annotated[Path, typer.Argument(help="Folder of tasks.")],
    format: Annotated[str, typer.Option("--format", "-f", help="swe-bench or swe-smith.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="New folder.")],
) -> None:
    """Writes tasks in the format of another project, and says what that format cannot hold."""
    from srl_env.swe.exchange import export_tasks
    from srl_env.swe.task_folder import TaskSet

    done = export_tasks(TaskSet(tasks), out, format)
    typer.echo(f"{done.rows} rows: {out / 'tasks.jsonl'}\nRepositories: {out / 'repos'}")
    for what, count in done.lost.items():
        typer.echo(f"not in this format: {what} ({count} tasks)")
