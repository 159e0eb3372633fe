"""``srl-env swe build``: tasks made from a repository."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from srl_agents.cli.options import options_of
from srl_env.errors import BadOption
from srl_env.swe.builder.options import BuildOptions

app = typer.Typer()

_BUILD_EPILOG = (
    "[bold]srl-env swe build . --out tasks[/]  The same command resumes after Ctrl-C.\n\n"
    "[bold]srl-env swe build unpacked-sdist --out tasks --max-tasks 200 --max-bugs 3[/]\n\n"
    "Packages that the tests import must be installed beside srl-env. A file oracle_cases.toml in"
    " the repository may list calls whose results decide (see the documentation). Without it, the"
    " calls that the tests make are recorded."
)


@app.command(epilog=_BUILD_EPILOG)
@options_of(BuildOptions, flags={"jobs": "-j"})
def build(
    path: Annotated[Path, typer.Argument(help="Python project with passing tests.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the tasks.")],
    **given: Any,
) -> None:
    """Makes tasks from a repository: bugs that its tests notice, with statement and expert."""
    from srl_agents.cli.console import output
    from srl_agents.cli.swe.views import BuildBar, build_table
    from srl_env.swe.builder.build import build_tasks

    options = BuildOptions(**given)
    try:
        with BuildBar(options.name or path.resolve().name) as bar:
            report = build_tasks(path, out, options, on_progress=bar.show)
    except KeyboardInterrupt:
        typer.echo("Interrupted; progress is saved. The same command resumes the build.", err=True)
        raise typer.Exit(130) from None
    output.print(build_table(report))
    typer.echo(f"Tasks: {out}\nReport: {out / 'report.json'}")
    typer.echo(f"Check them: srl-env swe validate {out}")
    if not report.kept:
        raise BadOption(
            "no bug made a task; the report has the reasons. Fix: add tests, or make them stricter"
        )
