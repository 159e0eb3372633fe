"""``srl-env init``: a new package with an environment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command(epilog="[bold]srl-env init my_tasks[/]\n\n[bold]srl-env init my_tasks --kind tools[/]")
def init(
    name: Annotated[str, typer.Argument(help="Package name, e.g. my_tasks.")],
    kind: Annotated[
        str, typer.Option(help="Kind of environment: data, generated or tools.")
    ] = "data",
    folder: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder to write. [named after the package]")
    ] = None,
) -> None:
    """Write a package with a working environment, ten problems and tests, ready for changes."""
    from srl_agents.cli.scaffold import write_package

    package = write_package(name, kind, folder)
    lines = [f"wrote {path}" for path in package.files]
    typer.echo("\n".join([*lines, "", "It works already. Try:", *package.next_steps]))
