"""``srl-env play``: a person at the terminal takes the steps."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

import srl_env
from srl_agents.cli.console import output
from srl_agents.cli.folders import fresh_folder
from srl_agents.cli.options import Kwargs, json_object
from srl_env.errors import BadOption

app = typer.Typer()


def play_command(
    env_id: str,
    arguments: dict[str, Any],
    options: dict[str, Any],
    seed: int | None,
    episodes: int | None,
    out: Path | None,
) -> None:
    """Plays at this terminal, and saves what was played."""
    from srl_agents.cli.game import play
    from srl_agents.cli.saved_games import Book
    from srl_agents.runs.lock import held
    from srl_env.environment import ReasoningEnv

    env = srl_env.make(env_id, **arguments).unwrapped
    if not isinstance(env, ReasoningEnv):
        raise BadOption(f"{env_id!r} is a {type(env).__name__}; only a ReasoningEnv can be played")
    if "problem" in options:
        options["problem"] = _problem(options["problem"])
        episodes = episodes or 1
    if env.has_world and "continuation" not in arguments:
        options.setdefault("continuation", "policy")  # the record answers the expert's steps only
    folder = out or fresh_folder("play")
    with held(folder):
        finished = play(
            env,
            Book(folder),
            screen=output,
            source=sys.stdin,
            options=options,
            seed=seed,
            episodes=episodes,
        )
    env.close()
    ended = "1 episode" if finished == 1 else f"{finished} episodes"
    typer.echo(f"{ended} finished. What was played is in {folder}")


def _problem(text: str) -> str | int:
    """A problem's number where it is one, else its id."""
    return int(text) if text.isascii() and text.isdigit() else text


@app.command(
    epilog="""[bold]srl-env play srl/GSM8K-v0 --kwargs '{"source": "sample"}'[/]\n\n"""
    "[bold]srl-env play steps:problems.jsonl --mode rlvr[/]"
)
def play(
    env_id: Annotated[
        str, typer.Argument(metavar="ID|PATH", help="Environment id, file, or package folder.")
    ],
    kwargs: Kwargs = "{}",
    mode: Annotated[str | None, typer.Option(help="Reward mode. [the environment's]")] = None,
    problem: Annotated[str | None, typer.Option(help="Id or number. [drawn]")] = None,
    start_step: Annotated[int, typer.Option(min=0, help="Expert steps taken already.")] = 0,
    continuation: Annotated[
        str | None,
        typer.Option(
            help="expert: its step enters the history; policy: yours does. "
            "[policy in a world, else the mode's]"
        ),
    ] = None,
    granularity: Annotated[str | None, typer.Option(help="step or solution.")] = None,
    episodes: Annotated[int | None, typer.Option(min=1, help="How many. [until :quit]")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Draws the problems.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder; one from before is added to.")
    ] = None,
) -> None:
    """You take the steps: see rewards, and where yours agree with the expert's."""

    given = {
        "reward_mode": mode,
        "problem": problem,
        "start_step": start_step or None,
        "continuation": continuation,
        "granularity": granularity,
    }
    options = {name: value for name, value in given.items() if value is not None}
    play_command(env_id, json_object(kwargs), options, seed, episodes, out)
