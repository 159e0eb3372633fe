"""``srl-env probe``: whether a model has seen the questions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from srl_agents.cli.folders import write_json
from srl_agents.cli.options import json_object
from srl_env.errors import BadOption

app = typer.Typer()


_PROBE = (
    "[bold]srl-env probe -m Qwen/Qwen2.5-7B-Instruct -e srl/GSM8K-v0 -n 200[/]\n\n"
    "[bold]srl-env probe -m gpt2 --raw -e srl/GSM8K-v0[/]  a model that only continues texts"
)


@app.command(epilog=_PROBE)
def probe(
    policy: Annotated[
        str, typer.Option("--policy", "-m", help="As for srl-env eval: a run, a model, openai:…")
    ],
    env: Annotated[str, typer.Option("--env", "-e", help="Environment id.")],
    kwargs: Annotated[
        str, typer.Option(metavar="JSON", help="Arguments of the environment, as JSON.")
    ] = "{}",
    split: Annotated[str, typer.Option(help="Which problems.")] = "test",
    problems: Annotated[int, typer.Option("--problems", "-n", min=2, help="How many.")] = 100,
    fractions: Annotated[
        list[float] | None,
        typer.Option(
            "--fraction",
            help="Fraction of each question to show; may be repeated. By default 0.4, 0.6 and 0.8.",
        ),
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Show the beginning alone, without a request.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Chooses the problems.")] = 0,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, …")] = None,
    base_url: Annotated[str | None, typer.Option(help="Of a server, for openai:MODEL.")] = None,
    api_key_env: Annotated[
        str | None, typer.Option(help="Environment variable that holds the server's key.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="JSON file.")] = None,
) -> None:
    """Whether a model has seen the questions: it completes them from their beginnings."""
    from srl_agents.cli.console import evaluation_bar, output
    from srl_agents.cli.tables import probe_table
    from srl_agents.evaluation.plan import choose_problems, split_maker
    from srl_agents.evaluation.probe import FRACTIONS
    from srl_agents.evaluation.probe import probe as complete
    from srl_agents.policies.named import read_spec
    from srl_agents.runs.evaluation import EvalSettings

    if out is not None and out.exists():
        raise BadOption(f"{out} exists; choose another")
    one = split_maker(env, json_object(kwargs), split)()
    chosen = choose_problems(one.problems, EvalSettings(problems=problems, seed=seed))
    server = {"base_url": base_url, "api_key_env": api_key_env}
    given = {name: value for name, value in server.items() if value is not None}
    loaded = read_spec(policy).load(one, device, seed, given)
    with evaluation_bar(policy) as bar:
        found = complete(
            loaded,  # type: ignore[arg-type]  # it says so itself if it is no model
            [one.problems[index] for index in chosen],
            fractions=fractions or FRACTIONS,
            raw=raw,
            on_progress=bar,
        )
    one.close()
    output.print(probe_table(policy, found))
    if out is not None:
        write_json(out, {"policy": policy, "env": env, "probes": [p.to_json() for p in found]})
