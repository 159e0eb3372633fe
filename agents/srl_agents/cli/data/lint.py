"""``srl-env data lint``: what is wrong with data."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from srl_agents.cli.data.options import (
    AnswerStep,
    AsJson,
    Columns,
    FormName,
    JoinBelow,
    Paths,
    ResolvedOnly,
    Shares,
    SplitterName,
    read_data,
    split_shares,
)

app = typer.Typer()


@app.command(
    epilog="[bold]srl-env data lint train.jsonl test.jsonl[/]  also: what is in both\n\n"
    "[bold]srl-env data lint solutions.jsonl -s sentences --verifier boxed --format think[/]\n\n"
    "Exit code 0: no errors; 1: errors, or with --strict warnings; 2: it could not be checked."
)
def lint(
    paths: Paths,
    form: FormName = None,
    column: Columns = None,
    splitter: SplitterName = None,
    join_below: JoinBelow = 0,
    answer_step: AnswerStep = None,
    resolved_only: ResolvedOnly = False,
    split: Shares = None,
    verifier: Annotated[
        str | None,
        typer.Option(
            help="What the experts' answers must pass: numeric, stated, boxed, exact, calls, none,"
            " or your own module:Class. [as the data look]"
        ),
    ] = None,
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="The completion format the steps must survive: think, think-optional, brackets,"
            " calls, or your own module:Class. [as the data look]",
        ),
    ] = None,
    shortest: Annotated[int, typer.Option(min=0, help="Characters of a step, but the last.")] = 8,
    longest: Annotated[int, typer.Option(min=1, help="Characters of a step.")] = 2000,
    near: Annotated[bool, typer.Option(help="Also look for nearly identical problems.")] = True,
    examples: Annotated[int, typer.Option(min=0, help="Shown for each rule.")] = 3,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings fail, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """What is wrong with data: experts that fail, duplicates, steps no reward can judge."""
    from srl_agents.cli.console import output
    from srl_agents.cli.data.views import lint_view, reading_bar
    from srl_env.data.quality.lint import LintOptions
    from srl_env.data.quality.lint import lint as check

    reading = read_data(paths, form, column, splitter, join_below, answer_step, resolved_only)
    options = LintOptions(
        verifier, format_, shortest, longest, near, split_shares(split), max(examples, 0)
    )
    with reading_bar("checking", reading) as show:
        report = check(reading, options, show)
    if as_json:
        typer.echo(json.dumps(asdict(report) | {"passed": report.passed}, indent=1))
    else:
        output.print(lint_view(report))
    if not report.passed or (strict and report.total("warning")):
        raise typer.Exit(1)
