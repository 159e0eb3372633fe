"""``srl-env swe build``: tasks made from a repository."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from srl_agents.cli.options import (
    ApiKeyEnv,
    BaseUrl,
    Device,
    MaxCost,
    MaxRequests,
    PolicyKwargs,
    Prices,
    json_object,
    options_of,
    server_arguments,
    spending_limits,
)
from srl_env.errors import BadOption, Failure
from srl_env.swe.builder.options import BuildOptions

if TYPE_CHECKING:
    from srl_env.policy import Policy

app = typer.Typer()

_BUILD_EPILOG = (
    "[bold]srl-env swe build . --out tasks[/]  The same command resumes after Ctrl-C.\n\n"
    "[bold]srl-env swe build unpacked-sdist --out tasks --max-tasks 200 --max-bugs 3[/]\n\n"
    "[bold]srl-env swe build . --out tasks -m openai:gpt-5-mini --prices 0.25,2 --max-cost 5[/]\n\n"
    "Packages that the tests import must be installed beside srl-env. A file oracle_cases.toml in"
    " the repository may list calls whose results decide (see the documentation). Without it, the"
    " calls that the tests make are recorded."
)


@app.command(epilog=_BUILD_EPILOG)
@options_of(BuildOptions, flags={"jobs": "-j", "model": "-m"})
def build(
    path: Annotated[Path, typer.Argument(help="Python project with passing tests.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the tasks.")],
    device: Device = None,
    base_url: BaseUrl = None,
    api_key_env: ApiKeyEnv = None,
    policy_kwargs: PolicyKwargs = "{}",
    max_requests: MaxRequests = None,
    max_cost: MaxCost = None,
    prices: Prices = None,
    **given: Any,
) -> None:
    """Makes tasks from a repository: bugs that its tests notice, with statement and expert."""
    from srl_agents.cli.console import output
    from srl_agents.cli.swe.views import BuildBar, build_table
    from srl_env.swe.builder.author.author import recorded_usage
    from srl_env.swe.builder.build import build_tasks
    from srl_env.swe.builder.journal import journal_path

    options = BuildOptions(**given)
    name = options.name or path.resolve().name
    asked = json_object(policy_kwargs, "--policy-kwargs") | server_arguments(base_url, api_key_env)
    used = recorded_usage(journal_path(out, name))
    asked |= spending_limits(max_requests, max_cost, prices, used)
    if asked and not options.model:
        raise BadOption(f"--model must name a policy; got {', '.join(asked)} without one")
    policy = _writer(options, device, asked) if options.model else None
    try:
        with BuildBar(name) as bar:
            report = build_tasks(path, out, options, policy=policy, on_progress=bar.show)
    except KeyboardInterrupt:
        typer.echo("Interrupted; progress is saved. The same command resumes the build.", err=True)
        raise typer.Exit(130) from None
    except Failure:
        typer.echo("Progress is saved. The same command resumes the build.", err=True)
        raise
    output.print(build_table(report))
    typer.echo(f"Tasks: {out}\nReport: {out / 'report.json'}")
    typer.echo(f"Check them: srl-env swe validate {out}")
    if stopped := report.model.get("stopped"):
        limit = str(stopped).partition(" is reached")[0].replace("_", "-")
        command = shlex.join(["srl-env", *sys.argv[1:]])
        raise BadOption(f"the limit {limit} is reached. Fix: raise it, and continue with {command}")
    if not report.kept:
        fix = "use a stronger model" if options.model else "add tests, or make them stricter"
        raise BadOption(f"no bug made a task; the report has the reasons. Fix: {fix}")


def _writer(options: BuildOptions, device: str | None, arguments: Mapping[str, Any]) -> Policy:
    """The policy that ``options.model`` names. BadOption for one that writes no text."""
    from srl_agents.policies.named import read_spec
    from srl_env.policy import Policy

    policy = read_spec(str(options.model)).load(None, device, options.seed, arguments)
    if not isinstance(policy, Policy):
        raise BadOption(f"--model must be a policy that writes text; got {options.model}")
    return policy
