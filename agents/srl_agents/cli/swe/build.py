"""``srl-env swe build``: tasks made from a repository."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from srl_env.errors import BadOption

if TYPE_CHECKING:
    from srl_env.swe.builder import BuildOptions


app = typer.Typer()

_BUILD_EPILOG = (
    "[bold]srl-env swe build . --out tasks[/]  again after Ctrl-C: it goes on\n\n"
    "[bold]srl-env swe build unpacked-sdist --out tasks --max-tasks 200 --max-bugs 3[/]\n\n"
    "What tests import must be installed beside srl-env. A file oracle_cases.toml in the"
    " repository may name calls whose results decide (see the documentation); without it, calls"
    " are recorded while the tests run."
)


@app.command(epilog=_BUILD_EPILOG)
def build(
    path: Annotated[Path, typer.Argument(help="A Python project with passing tests.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the tasks.")],
    name: Annotated[
        str | None, typer.Option(help="Name of the repository. [that of its folder]")
    ] = None,
    max_tasks: Annotated[
        int | None, typer.Option(min=1, help="At most this many. [all worth having]")
    ] = None,
    max_bugs: Annotated[int, typer.Option(min=1, help="Most bugs in one task.")] = 2,
    seed: Annotated[int, typer.Option(min=0, help="Of every choice.")] = 0,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, help="At a time. [one a core]")
    ] = None,
    test_timeout: Annotated[
        float, typer.Option(min=1, help="Seconds that all tests may take.")
    ] = 120.0,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace what DIR has from this repository.")
    ] = False,
) -> None:
    """Makes tasks from a repository: bugs that its tests notice, with statement and expert."""
    from srl_agents.cli.console import output
    from srl_agents.cli.swe.views import BuildBar, build_table
    from srl_env.swe.builder import BuildOptions, build_tasks

    options = BuildOptions(
        max_tasks=max_tasks,
        max_bugs=max_bugs,
        seed=seed,
        jobs=jobs,
        test_timeout_s=test_timeout,
    )
    again = _command_again(path, out, name, options, replace)
    try:
        with BuildBar(name or path.resolve().name) as bar:
            report = build_tasks(
                path,
                out,
                name=name,
                options=options,
                replace_tasks=replace,
                on_progress=bar.show,
            )
    except KeyboardInterrupt:
        typer.echo(f"Interrupted; what was done is saved. Go on with:\n  {again}", err=True)
        raise typer.Exit(130) from None
    output.print(build_table(report))
    typer.echo(f"Tasks: {out}\nReport: {out / 'report.json'}")
    typer.echo(f"Check them: srl-env swe validate {out}")
    if not report.kept:
        raise BadOption(
            "no bug made a task; the report says why. More tests, and tests that are more exact, "
            "notice more"
        )


def _command_again(
    path: Path, out: Path, name: str | None, options: BuildOptions, replace: bool
) -> str:
    """The command that goes on with a build, with the options that are not the defaults."""
    words = [f"srl-env swe build {path} --out {out}"]
    words += [f"--name {name}"] if name else []
    for field in fields(options):
        value = getattr(options, field.name)
        if value != field.default:
            words.append(f"--{field.name.removesuffix('_s').replace('_', '-')} {value}")
    return " ".join([*words, "--replace"] if replace else words)
