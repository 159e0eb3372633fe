"""``srl-env data inspect``: what data hold."""

from __future__ import annotations

import json
from typing import Any

import typer

from srl_agents.cli.data.options import Paths, read_data, reading_options
from srl_agents.cli.options import AsJson

app = typer.Typer()


@app.command(
    epilog="[bold]srl-env data inspect train.jsonl[/]\n\n"
    "[bold]srl-env data inspect solutions.parquet -c prompt=task -c solution=text -s sentences[/]"
)
@reading_options
def inspect(paths: Paths, as_json: AsJson = False, **given: Any) -> None:
    """Show what data hold: form, splits, steps, their lengths, and the first problem."""
    from srl_agents.cli.console import output
    from srl_agents.cli.data.views import columns_view, reading_bar, summary_view
    from srl_env.data.forms.detect import UnknownForm
    from srl_env.data.quality.summary import summarize

    try:
        reading = read_data(paths, given)
    except UnknownForm as error:
        if not as_json:
            output.print(columns_view(error.rows))
        raise
    with reading_bar("reading", reading) as show:
        summary = summarize(reading, show)
    if as_json:
        typer.echo(json.dumps(summary.to_json(), indent=1))
    else:
        output.print(summary_view(summary))
