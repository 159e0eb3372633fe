"""``srl-env play``: a person at the terminal takes the steps."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from srl_agents.cli.options import Kwargs, json_object
from srl_env.errors import BadOption

app = typer.Typer()


@app.command(
    epilog="""[bold]srl-env play srl/GSM8K-v0 --kwargs '{"source": "sample"}'[/]\n\n"""
    "[bold]srl-env play steps:problems.jsonl --mode rlvr[/]"
)
def play(
    env_id: Annotated[
        str, typer.Argument(metavar="ID|PATH", help="Environment id, file, or package folder.")
    ],
    kwargs: Kwargs = "{}",
    mode: Annotated[
        str | None, typer.Option(help="Reward mode. By default the environment's.")
    ] = None,
    problem: Annotated[
        str | None, typer.Option(help="Problem id or number. By default drawn at random.")
    ] = None,
    start_step: Annotated[int, typer.Option(min=0, help="Number of expert steps given.")] = 0,
    continuation: Annotated[
        str | None,
        typer.Option(
            help="Whose step enters the history: expert or policy (yours). By default policy in a"
            " world, else the mode's."
        ),
    ] = None,
    granularity: Annotated[
        str | None, typer.Option(help="Size of an action: step or solution.")
    ] = None,
    episodes: Annotated[
        int | None, typer.Option(min=1, help="Number of episodes. By default until :quit.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Random seed of the problems.")] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder of the episodes; an old one is added to."),
    ] = None,
) -> None:
    """Take the steps yourself; see rewards, and where your steps agree with the expert's."""
    import srl_env
    from srl_agents.cli.console import output
    from srl_agents.cli.folders import fresh_folder
    from srl_agents.cli.play.recording import Recording
    from srl_agents.cli.play.session import play as play_episodes
    from srl_agents.runs.lock import held
    from srl_env.environment import ReasoningEnv

    arguments = json_object(kwargs)
    env = srl_env.make(env_id, **arguments).unwrapped
    if not isinstance(env, ReasoningEnv):
        raise BadOption(
            f"{env_id!r} must be a ReasoningEnv to be played; got a {type(env).__name__}"
        )
    if env.has_world and "continuation" not in arguments:
        continuation = continuation or "policy"  # the record answers the expert's steps only
    given = {
        "reward_mode": mode,
        "problem": int(problem) if problem and problem.isdecimal() else problem,
        "start_step": start_step or None,
        "continuation": continuation,
        "granularity": granularity,
    }
    folder = out or fresh_folder("play")
    with held(folder):
        finished = play_episodes(
            env,
            Recording(folder),
            screen=output,
            source=sys.stdin,
            options={name: value for name, value in given.items() if value is not None},
            seed=seed,
            episodes=episodes or (1 if problem else None),
        )
    env.close()
    typer.echo(f"{finished} episode{'s' * (finished != 1)} finished. Episodes: {folder}")
