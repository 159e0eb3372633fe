"""``srl-env compare``: several methods, several seeds, equal budgets."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from srl_agents.cli.console import comparison_bars, output
from srl_agents.cli.folders import how_to_go_on
from srl_agents.cli.options import with_flags
from srl_env.errors import BadOption
from srl_env.text.unicode import escaped

if TYPE_CHECKING:
    from srl_agents.cli.options import Flags

app = typer.Typer()

_TEMPLATE = Path(__file__).with_suffix(".toml")


def init_command(file: Path) -> None:
    """Writes a commented configuration to begin with; BadOption where the file exists."""
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


def one_file(paths: Sequence[Path]) -> Path:
    """The configuration among the arguments; BadOption for folders of runs and several files."""
    if folders := [path for path in paths if path.is_dir()]:
        runs = shlex.join(map(str, folders))
        raise BadOption(
            f"compare trains what a TOML or JSON file describes; got the folder {folders[0]}."
            f" Fix: finished runs are compared by srl-env view {runs}"
        )
    if len(paths) != 1:
        got = shlex.join(map(str, paths)) or "none"
        raise BadOption(
            f"compare takes one TOML or JSON file; got {got}. Fix: srl-env compare --init writes a"
            " file to begin with"
        )
    return paths[0]


def compare_command(file: Path, flags: Flags, overrides: Sequence[str], dry_run: bool) -> None:
    """Compares, or says what would be run; writes the report."""
    from srl_agents.comparison.config import make_compare_config, plan
    from srl_agents.comparison.input_checks import check_bases, check_jobs
    from srl_agents.runs.settings import read_tree, with_overrides

    tree = with_overrides(with_flags(read_tree(file), flags), overrides)
    config = make_compare_config(tree)
    if dry_run:
        jobs = plan(config)
        check_bases(config.bases)
        check_jobs(jobs)
        typer.echo(json.dumps([job.to_json() for job in jobs], indent=2))
        return
    from srl_agents.comparison.scheduler import compare
    from srl_agents.view.report import comparison_table, headline, learned, write_report

    again = ["srl-env", "compare", str(file)]
    again += [part for override in overrides for part in ("--set", override)]
    given = {name: value for name, value in flags.items() if value is not None}
    again += [part for name, value in given.items() for part in (f"--{name}", str(value))]
    with how_to_go_on(again), comparison_bars() as bars:
        comparison = compare(config, on_progress=bars)
    report = write_report(comparison, Path(config.out))
    output.print(comparison_table(comparison))
    typer.echo(f"{headline(comparison)}\nReport: {report}")
    for run in comparison.runs:
        for warning in run.warnings:
            typer.echo(f"Warning: {run.label}, {warning}")
    typer.echo(learned(comparison))
    failed = [run for run in comparison.runs if run.error]
    for run in failed:
        typer.echo(escaped(f"error: {run.label}: {run.error}"), err=True)
    if failed:
        raise typer.Exit(1)


@app.command(
    epilog="[bold]srl-env compare compare.toml[/]  again after Ctrl-C: what is done stays\n\n"
    "[bold]srl-env compare compare.toml --set seeds=[0,1,2,3,4] --jobs 2[/]\n\n"
    "[bold]srl-env compare compare.toml --set run.train.lr=3e-4 --set evaluation.rollouts=4[/]\n\n"
    "[bold]srl-env compare --init[/]  writes compare.toml, a commented file to begin with"
)
def compare(
    config: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FILE", help="TOML or JSON file of a comparison."),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="Set one thing, as run.train.lr=3e-4; may be repeated."),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, help="Runs at the same time.")
    ] = None,
    out: Annotated[str | None, typer.Option("--out", "-o", help="The comparison's folder.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print every run there would be and stop.")
    ] = False,
    init: Annotated[
        bool, typer.Option("--init", help="Write a commented FILE to begin with. [compare.toml]")
    ] = False,
) -> None:
    """Several methods, several seeds, equal budgets: one table and one report."""

    if init:
        init_command(one_file(config or [Path("compare.toml")]))
        return
    file = one_file(config or [])
    compare_command(file, {"jobs": jobs, "out": out}, overrides or [], dry_run)
