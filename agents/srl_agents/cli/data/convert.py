"""``srl-env data convert``: data in our form, as a file or a folder with a card."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from srl_agents.cli.data.options import (
    AnswerStep,
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
from srl_env.errors import BadOption
from srl_env.text.unicode import escaped

app = typer.Typer()


@app.command(
    epilog="[bold]srl-env data convert train.parquet -o train.jsonl[/]\n\n"
    "[bold]srl-env data convert raw.jsonl -o data --split train=0.9 --split test=0.1[/]  a folder"
    " that datasets reads, with a card\n\n"
    "[bold]srl-env data convert gsm.jsonl -o gsm-steps.jsonl -s calculations"
    " --answer-step '#### {answer}'[/]\n\n"
    "What is written appears when it is whole; a stop in between leaves nothing behind."
)
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
    shares = split_shares(split)
    check_free(out, kind_of(out), force)
    reading = read_data(paths, form, column, splitter, join_below, answer_step, resolved_only)
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
