"""``srl-env data convert``: data as canonical rows, in a file or a folder with a card."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from srl_agents.cli.data.options import Paths, read_data, reading_options
from srl_env.data.sources.source import OnBadRow
from srl_env.text.unicode import escaped

app = typer.Typer()


@app.command(
    epilog="[bold]srl-env data convert train.parquet -o train.jsonl[/]\n\n"
    "[bold]srl-env data convert raw.jsonl -o data --split train=0.9 --split test=0.1[/]  a folder"
    " that datasets reads, with a card\n\n"
    "[bold]srl-env data convert gsm.jsonl -o gsm-steps.jsonl -s calculations"
    " --answer-step '#### {answer}'[/]\n\n"
    "The output appears when it is complete. An interrupted conversion leaves nothing behind."
)
@reading_options
def convert(
    paths: Paths,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            help="FILE.jsonl, FILE.parquet, FILE.atif.jsonl, or else a datasets folder.",
        ),
    ],
    bad_rows: Annotated[
        OnBadRow, typer.Option(help="drop: skip them and report why. raise: stop at the first.")
    ] = "drop",
    title: Annotated[str | None, typer.Option(help="Title of the card.")] = None,
    license_: Annotated[
        str | None, typer.Option("--license", help="License of the data for the card, e.g. mit.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace existing output.")] = False,
    **given: Any,
) -> None:
    """Write data as problems with steps: JSON lines, Parquet, or a folder with a card."""
    from srl_agents.cli.console import errors
    from srl_agents.cli.data.views import drop_view, reading_bar
    from srl_env.data.convert import convert as write_all
    from srl_env.data.drops import DropReport
    from srl_env.data.files.card import CardFacts, dataset_card
    from srl_env.data.files.write import check_free, kind_of, open_writer

    check_free(out, kind_of(out), force)
    reading = read_data(paths, given)
    report = DropReport(", ".join(str(path) for path in paths))
    facts = CardFacts(
        title or out.name, tuple(map(str, paths)), reading.about, _command(), license_
    )
    with (
        _stopped_by_kill(),
        open_writer(out, force=force, card=lambda n: dataset_card(facts, n, report)) as writer,
        reading_bar("converting", reading) as show,
    ):
        write_all(reading, writer, on_bad_row=bad_rows, report=report, on_progress=show)
        if not report.kept:  # inside, so that the writer removes what it began
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
    """SIGTERM ends the block like Ctrl-C, so that unfinished output is removed."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
