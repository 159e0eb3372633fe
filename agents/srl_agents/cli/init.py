"""``srl-env init``: a package with an environment, to be changed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command(epilog="[bold]srl-env init my_tasks[/]\n\n[bold]srl-env init my_tasks --kind tools[/]")
def init(
    name: Annotated[str, typer.Argument(help="Of the package, as my_tasks.")],
    kind: Annotated[
        str, typer.Option(help="What the environment is made of: data, generated or tools.")
    ] = "data",
    folder: Annotated[
        Path | None, typer.Option("--out", "-o", help="Where to write. [a folder of that name]")
    ] = None,
) -> None:
    """Writes a package with a working environment, ten problems, and tests, to be changed."""
    from srl_agents.cli.scaffold import write_package

    package = write_package(name, kind, folder)
    lines = [f"wrote {path}" for path in package.files]
    typer.echo("\n".join([*lines, "", "It works as it is:", *package.next_steps]))
