"""``srl-env data lint``: mistakes in data."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer

from srl_agents.cli.data.options import Paths, chosen, read_data, reading_options
from srl_agents.cli.options import AsJson, options_of
from srl_env.data.quality.rules import LintOptions

app = typer.Typer()


@app.command(
    epilog="[bold]srl-env data lint train.jsonl test.jsonl[/]  also finds problems in both\n\n"
    "[bold]srl-env data lint solutions.jsonl -s sentences --verifier boxed --format think[/]\n\n"
    "Exit code 0: no errors; 1: errors, or with --strict warnings; 2: it could not be checked."
)
@reading_options
@options_of(LintOptions)
def lint(
    paths: Paths,
    strict: Annotated[bool, typer.Option("--strict", help="Fail on warnings too.")] = False,
    as_json: AsJson = False,
    **given: Any,
) -> None:
    """Find mistakes in data: experts that fail, duplicates, steps that no reward can judge."""
    from srl_agents.cli.console import output
    from srl_agents.cli.data.views import lint_view, reading_bar
    from srl_env.data.quality.lint import lint as check

    reading = read_data(paths, given)
    with reading_bar("checking", reading) as show:
        report = check(reading, LintOptions(**chosen(LintOptions, given)), show)
    if as_json:
        typer.echo(json.dumps(asdict(report) | {"passed": report.passed}, indent=1))
    else:
        output.print(lint_view(report))
    if not report.passed or (strict and report.total("warning")):
        raise typer.Exit(1)
