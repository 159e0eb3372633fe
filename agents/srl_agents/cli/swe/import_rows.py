"""``srl-env swe import``: tasks from rows of SWE-bench or SWE-smith, with a local clone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from srl_agents.cli.options import options_of
from srl_agents.cli.swe.mine import mining_shown, print_report
from srl_env.swe.mining.options import MineOptions

app = typer.Typer()


@app.command(
    "import",
    epilog="[bold]srl-env swe import rows.jsonl --clone sympy --out tasks[/]",
)
@options_of(MineOptions, flags={"jobs": "-j"}, only=("name", "max_tasks", "jobs", "test_timeout_s"))
def import_(
    rows: Annotated[Path, typer.Argument(help="File of rows, of one repository.")],
    clone: Annotated[Path, typer.Option(help="Clone of that repository.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the tasks.")],
    **given: Any,
) -> None:
    """Makes tasks from rows of SWE-bench or SWE-smith; each is run in the sandbox first."""
    from srl_env.data import BadRow, read_problems
    from srl_env.swe.exchange import import_tasks

    options = MineOptions(**given)
    problems = []
    for item in read_problems(rows):
        if isinstance(item.problem, BadRow):
            typer.echo(f"row {item.number}: {item.problem}", err=True)
        else:
            problems.append(item.problem)
    with mining_shown(options.name or clone.resolve().name) as show:
        report = import_tasks(problems, clone, out, options, on_progress=show)
    print_report(report, out, "row")
