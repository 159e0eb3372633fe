"""``srl-env data``: data looked at, checked, and brought into one form."""

from __future__ import annotations

import json
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from srl_agents.cli.boundary import boundary
from srl_env.errors import BadOption
from srl_env.text.unicode import escaped

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Expert data looked at, checked, and converted.\n\n"
    "Any form is read: GSM8K rows, numbered solutions (s1K), lists of steps, our own JSON lines,"
    " SWE-agent and SWE-smith trajectories, SWE-bench instances, ATIF trajectories, and raw"
    " solutions, which a splitter makes into steps. Files may be JSON lines, JSON, CSV, TSV, XLSX,"
    " Parquet, .traj, and folders of them; the form is found out from the first rows.",
    epilog="[bold]srl-env data inspect train.jsonl[/]  what is in it, and how it is understood\n\n"
    "[bold]srl-env data lint train.jsonl test.jsonl[/]  what is wrong with it\n\n"
    "[bold]srl-env data convert raw.parquet -o data --splitter sentences[/]  a folder with a card",
)

Paths = Annotated[
    list[Path], typer.Argument(help="Files and folders of data, in one form.", metavar="PATH…")
]
FormName = Annotated[
    str | None,
    typer.Option("--form", "-f", help="Name of the form, where it is not found out rightly."),
]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        "-c",
        help="Where prompt, steps, solution, answer or id stand, as solution=response; may be"
        " repeated.",
    ),
]
SplitterName = Annotated[
    str | None,
    typer.Option(
        "--splitter",
        "-s",
        help="How a raw solution becomes steps: numbered, paragraphs, lines, calculations,"
        " sentences, or your own module:function.",
    ),
]
JoinBelow = Annotated[
    int, typer.Option(min=0, help="Join steps of fewer characters with their neighbour.")
]
AnswerStep = Annotated[
    str | None,
    typer.Option(
        help="A last step for solutions that do not state their answer, as '#### {answer}'."
    ),
]
ResolvedOnly = Annotated[
    bool, typer.Option("--resolved-only", help="Agents' trajectories that solved their task only.")
]
Shares = Annotated[
    list[str] | None,
    typer.Option(
        "--split",
        help="A split to make and its share, as train=0.9; may be repeated, together 1. [as the"
        " files are named]",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


@app.command(
    epilog="[bold]srl-env data inspect train.jsonl[/]\n\n"
    "[bold]srl-env data inspect solutions.parquet -c prompt=task -c solution=text -s sentences[/]"
)
@boundary
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
        reading = _reading(paths, form, column, splitter, join_below, answer_step, resolved_only)
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


@app.command(
    epilog="[bold]srl-env data lint train.jsonl test.jsonl[/]  also: what is in both\n\n"
    "[bold]srl-env data lint solutions.jsonl -s sentences --verifier boxed --format think[/]\n\n"
    "Exit code 0: no errors; 1: errors, or with --strict warnings; 2: it could not be checked."
)
@boundary
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

    reading = _reading(paths, form, column, splitter, join_below, answer_step, resolved_only)
    options = LintOptions(
        verifier, format_, shortest, longest, near, _shares(split), max(examples, 0)
    )
    with reading_bar("checking", reading) as show:
        report = check(reading, options, show)
    if as_json:
        typer.echo(json.dumps(asdict(report) | {"passed": report.passed}, indent=1))
    else:
        output.print(lint_view(report))
    if not report.passed or (strict and report.total("warning")):
        raise typer.Exit(1)


@app.command(
    epilog="[bold]srl-env data convert train.parquet -o train.jsonl[/]\n\n"
    "[bold]srl-env data convert raw.jsonl -o data --split train=0.9 --split test=0.1[/]  a folder"
    " that datasets reads, with a card\n\n"
    "[bold]srl-env data convert gsm.jsonl -o gsm-steps.jsonl -s calculations"
    " --answer-step '#### {answer}'[/]\n\n"
    "What is written appears when it is whole; a stop in between leaves nothing behind."
)
@boundary
def convert(
    paths: Paths,
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="FILE.jsonl, FILE.parquet, or else a datasets folder."),
    ],
    form: FormName = None,
    column: Columns = None,
    splitter: SplitterName = None,
    join_below: JoinBelow = 0,
    answer_step: AnswerStep = None,
    resolved_only: ResolvedOnly = False,
    split: Shares = None,
    bad_rows: Annotated[
        str, typer.Option(help="drop: leave them out and say why. raise: stop at the first.")
    ] = "drop",
    title: Annotated[str | None, typer.Option(help="Of the card.")] = None,
    license_: Annotated[str | None, typer.Option("--license", help="For the card, as mit.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
) -> None:
    """Data in our form: problems with steps, as JSON lines, Parquet, or a folder with a card."""
    from srl_agents.cli.console import errors
    from srl_agents.cli.data.views import drop_view, reading_bar
    from srl_env.data.convert import convert as write_all
    from srl_env.data.drops import DropReport
    from srl_env.data.files.card import CardFacts, dataset_card
    from srl_env.data.files.write import check_free, kind_of, open_writer

    if bad_rows not in ("drop", "raise"):
        raise BadOption(f"--bad-rows is drop or raise; got {bad_rows!r}")
    shares = _shares(split)
    check_free(out, kind_of(out), force)
    reading = _reading(paths, form, column, splitter, join_below, answer_step, resolved_only)
    report = DropReport(", ".join(str(path) for path in paths))
    facts = CardFacts(
        title or out.name, tuple(map(str, paths)), reading.about, _command(), license_
    )
    with (
        _stopped_by_kill(),
        open_writer(out, force=force, card=lambda n: dataset_card(facts, n, report)) as writer,
        reading_bar("converting", reading) as show,
    ):
        write_all(
            reading,
            writer,
            shares=shares,
            on_bad_row="drop" if bad_rows == "drop" else "raise",
            report=report,
            on_progress=show,
        )
        if not report.kept:  # inside, so that the writer takes away what it began
            errors.print(drop_view(report))
            typer.echo(escaped(f"error: no row is a problem; {out} was not written"), err=True)
            raise typer.Exit(1)
    if report.dropped:
        errors.print(drop_view(report))
    counts = ", ".join(f"{name} {count:,}" for name, count in sorted(writer.counts.items()))
    typer.echo(
        escaped(f"{out}: {report.kept:,} problems ({counts or 'none'}), from {reading.about}")
    )


def _reading(
    paths: Sequence[Path],
    form: str | None,
    columns: Sequence[str] | None,
    splitter: str | None,
    join_below: int,
    answer_step: str | None,
    resolved_only: bool,
) -> Any:
    from srl_env.data.forms.detect import ReadOptions, read_problems

    pairs = dict(_pair("--column", "solution=response", text) for text in columns or [])
    options = ReadOptions(form, pairs, splitter, join_below, answer_step, resolved_only)
    return read_problems(paths, options)


def _shares(texts: Sequence[str] | None) -> dict[str, float] | None:
    """The splits to make; None where none are named."""
    if not texts:
        return None
    pairs = [_pair("--split", "train=0.9", text) for text in texts]
    try:
        shares = {name: float(share) for name, share in pairs}
    except ValueError:
        raise BadOption(f"--split gives a share as a number, as train=0.9; got {texts}") from None
    if abs(sum(shares.values()) - 1) > 1e-9 or min(shares.values()) < 0 or len(shares) < len(texts):
        raise BadOption(f"the shares of --split are together 1, each split once; got {shares}")
    return shares


def _pair(option: str, example: str, text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise BadOption(f"{option} is written as {option} {example}; got {text!r}")
    return name, value


def _command() -> str:
    return shlex.join(["srl-env", *sys.argv[1:]])


@contextmanager
def _stopped_by_kill() -> Iterator[None]:
    """A polite kill inside ends like Ctrl-C, so that what is half written is taken away."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
