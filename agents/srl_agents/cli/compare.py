"""``srl-env compare``: several methods, several seeds, equal budgets."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from srl_agents.cli.console import comparison_bars, output
from srl_agents.cli.folders import resume_hint
from srl_agents.cli.options import Overrides, with_flags
from srl_env.errors import BadOption
from srl_env.text.unicode import escaped

if TYPE_CHECKING:
    from srl_agents.evaluation.contrasts import Comparison

app = typer.Typer()

_TEMPLATE = Path(__file__).with_suffix(".toml")


@app.command(
    epilog="[bold]srl-env compare compare.toml[/]  again after Ctrl-C: it continues\n\n"
    "[bold]srl-env compare compare.toml --set seeds=[0,1,2,3,4] --jobs 2[/]\n\n"
    "[bold]srl-env compare compare.toml --set run.train.lr=3e-4 --set evaluation.rollouts=4[/]\n\n"
    "[bold]srl-env compare compare.toml --report report[/]  from the rows alone, runs nothing\n\n"
    "[bold]srl-env compare --init[/]  writes compare.toml, a commented file to begin with"
)
def compare(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FILE", help="TOML or JSON file of a comparison."),
    ] = None,
    overrides: Overrides = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, help="Number of runs at the same time.")
    ] = None,
    out: Annotated[
        str | None, typer.Option("--out", "-o", help="Folder of the comparison.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the file, print every run, and stop.")
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report",
            help="Folder for table, figures and report from the rows alone. Runs nothing.",
        ),
    ] = None,
    init: Annotated[
        bool,
        typer.Option("--init", help="Write a commented FILE to begin with, else compare.toml."),
    ] = False,
) -> None:
    """Compare several methods with several seeds under one budget: one table, one report."""
    from srl_agents.comparison.config import make_compare_config, plan
    from srl_agents.comparison.input_checks import check_bases, check_jobs
    from srl_agents.comparison.scheduler import compare as run_all
    from srl_agents.comparison.state import saved_comparison
    from srl_agents.runs.settings import read_tree, with_overrides

    if init:
        _init(_one_file(files or [Path("compare.toml")]))
        return
    file = _one_file(files or [])
    flags = {name: value for name, value in (("jobs", jobs), ("out", out)) if value is not None}
    config = make_compare_config(
        with_overrides(with_flags(read_tree(file), flags), overrides or [])
    )
    if dry_run:
        planned = plan(config)
        check_bases(config.bases)
        check_jobs(planned)
        typer.echo(json.dumps([job.to_json() for job in planned], indent=2))
        return
    again = _again(file, overrides or [], flags)
    if report is not None:
        _show(saved_comparison(config), report, again)
        return
    with resume_hint(again), comparison_bars() as bars:
        comparison = run_all(config, on_progress=bars)
    _show(comparison, Path(config.out), again)


def _init(file: Path) -> None:
    """Writes a commented configuration. Raises BadOption if the file exists."""
    try:
        with file.open("x", encoding="utf-8") as out:
            out.write(_TEMPLATE.read_text(encoding="utf-8"))
    except FileExistsError:
        raise BadOption(
            f"{file} exists and is not overwritten. Fix: give another name, as srl-env compare"
            " --init other.toml"
        ) from None
    typer.echo(
        f"{file}: fill in run.model.path, then run: srl-env compare {shlex.quote(str(file))}"
    )


def _one_file(paths: Sequence[Path]) -> Path:
    """The single configuration. Raises BadOption for folders of runs and for several files."""
    if folders := [path for path in paths if path.is_dir()]:
        runs = shlex.join(map(str, folders))
        raise BadOption(
            f"compare takes a TOML or JSON file; got the folder {folders[0]}. Fix: finished runs"
            f" are compared by srl-env view {runs}"
        )
    if len(paths) != 1:
        got = shlex.join(map(str, paths)) or "none"
        raise BadOption(
            f"compare takes one TOML or JSON file; got {got}. Fix: srl-env compare --init writes a"
            " file to begin with"
        )
    return paths[0]


def _again(file: Path, overrides: Sequence[str], flags: dict[str, Any]) -> list[str]:
    """The command that continues."""
    words = ["srl-env", "compare", str(file)]
    for override in overrides:
        words += ["--set", override]
    for name, value in flags.items():
        words += [f"--{name}", str(value)]
    return words


def _show(comparison: Comparison, out: Path, again: Sequence[str]) -> None:
    """Prints the table and what is missing, writes the report; exit code 1 if a run failed."""
    from srl_agents.view.report import comparison_table, headline, learned, write_report

    output.print(comparison_table(comparison))
    typer.echo(headline(comparison))
    for run in comparison.runs:
        for warning in run.warnings:
            typer.echo(f"Warning: {run.label}, {warning}")
    typer.echo(learned(comparison))
    for run in comparison.missing:
        typer.echo(escaped(f"missing: {run.label}: {run.error or 'not finished'}"), err=True)
    if comparison.missing:
        count = f"{len(comparison.missing)} of {len(comparison.runs)} runs are missing"
        typer.echo(f"{count}. Make them with:\n  {shlex.join(again)}", err=True)
    typer.echo(f"Report: {write_report(comparison, out)}")
    if any(run.error for run in comparison.runs):
        raise typer.Exit(1)
