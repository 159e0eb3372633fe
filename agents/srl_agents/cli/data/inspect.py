"""``srl-env data inspect``: what data hold."""

from __future__ import annotations

import json

import typer

from srl_agents.cli.data.options import (
    AnswerStep,
    AsJson,
    Columns,
    FormName,
    JoinBelow,
    Paths,
    ResolvedOnly,
    SplitterName,
    read_data,
)

app = typer.Typer()


@app.command(
    epilog="[bold]srl-env data inspect train.jsonl[/]\n\n"
    "[bold]srl-env data inspect solutions.parquet -c prompt=task -c solution=text -s sentences[/]"
)
def inspect(
    paths: Paths,
    form: FormName = None,
    column: Columns = None,
    splitter: SplitterName = None,
    join_below: JoinBelow = 0,
    answer_step: AnswerStep = None,
    resolved_only: ResolvedOnly = False,
    as_json: AsJson = False,
) -> None:
    """What data hold: form, splits, steps, their lengths, and the first problem."""
    from srl_agents.cli.console import output
    from srl_agents.cli.data.views import columns_view, reading_bar, summary_view
    from srl_env.data.forms.detect import UnknownForm
    from srl_env.data.quality.summary import Summary

    try:
        reading = read_data(paths, form, column, splitter, join_below, answer_step, resolved_only)
    except UnknownForm as error:
        if not as_json:
            output.print(columns_view(error.rows))
        raise
    summary = Summary(reading)
    with reading_bar("reading", reading) as show:
        for rows, item in enumerate(reading, 1):
            summary.add(item)
            if rows % 256 == 0:
                show(rows)
    if as_json:
        typer.echo(json.dumps(summary.to_json(), indent=1))
    else:
        output.print(summary_view(summary))
