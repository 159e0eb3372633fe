"""``srl-env probe``: whether a model has seen the questions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from srl_agents.cli.options import (
    ApiKeyEnv,
    BaseUrl,
    Device,
    Kwargs,
    json_object,
    options_of,
    server_arguments,
)
from srl_agents.runs.evaluation import EvaluationConfig
from srl_agents.runs.files import write_json
from srl_env.errors import BadOption

app = typer.Typer()


@app.command(
    epilog="[bold]srl-env probe -m Qwen/Qwen2.5-7B-Instruct -e srl/GSM8K-v0 -n 200[/]\n\n"
    "[bold]srl-env probe -m gpt2 --raw -e srl/GSM8K-v0[/]  a model that only continues texts"
)
@options_of(EvaluationConfig, flags={"problems": "-n"}, only=("problems", "seed", "split"))
def probe(
    policy: Annotated[str, typer.Option("--policy", "-m", help="Model, as for `srl-env eval`.")],
    env: Annotated[str, typer.Option("--env", "-e", help="Environment id.")],
    kwargs: Kwargs = "{}",
    fractions: Annotated[
        list[float] | None,
        typer.Option(
            "--fraction",
            help="Fraction of each question to show; may be repeated. By default 0.4, 0.6, 0.8.",
        ),
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Show the beginning alone, without a request.")
    ] = False,
    device: Device = None,
    base_url: BaseUrl = None,
    api_key_env: ApiKeyEnv = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="JSON file to write.")] = None,
    **given: Any,
) -> None:
    """Test whether a model has seen the questions: it completes them from their beginnings."""
    from srl_agents.cli.console import evaluation_bar, output
    from srl_agents.cli.tables import probe_table
    from srl_agents.evaluation.plan import choose_problems, split_maker
    from srl_agents.evaluation.probe import FRACTIONS
    from srl_agents.evaluation.probe import probe as complete
    from srl_agents.policies.named import read_spec

    if out is not None and out.exists():
        raise BadOption(f"--out must be a new file; got {out}")
    settings = EvaluationConfig(**given)
    one = split_maker(env, json_object(kwargs), settings.split)()
    chosen = choose_problems(one.problems, settings)
    server = server_arguments(base_url, api_key_env)
    loaded = read_spec(policy).load(one, device, settings.seed, server)
    with evaluation_bar(policy) as bar:
        found = complete(
            loaded,  # type: ignore[arg-type]  # it checks the type itself
            [one.problems[index] for index in chosen],
            fractions=fractions or FRACTIONS,
            raw=raw,
            on_progress=bar,
        )
    one.close()
    output.print(probe_table(policy, found))
    if out is not None:
        write_json(out, {"policy": policy, "env": env, "probes": [p.to_json() for p in found]})
