"""``srl-env list``: the installed environments, described from their classes."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import gymnasium
import typer
from gymnasium.envs.registration import load_env_creator
from rich.table import Table

import srl_env
from srl_env.registration.ids import UnknownEnvironment

app = typer.Typer()


@app.command(
    "list",
    epilog="[bold]srl-env list[/]\n\n[bold]srl-env list chain[/]  ids that contain 'chain'",
)
def list_command(
    text: Annotated[str, typer.Argument(help="Part of the ids to list.")] = "",
) -> None:
    """List every installed environment: its id, what it is, and its splits."""
    from srl_agents.cli.console import output
    from srl_env.rewards import MEASURES, OF_TRAINING, reward_modes

    found = [env_id for env_id in srl_env.environment_ids() if text.lower() in env_id.lower()]
    if not found:
        raise UnknownEnvironment("environment", text, srl_env.environment_ids())
    grid = Table(show_lines=False)
    grid.add_column("id", no_wrap=True)
    grid.add_column("what it is")
    grid.add_column("splits")
    for env_id in found:
        grid.add_row(env_id, *_described(env_id))
    output.print(grid)
    output.print(f"Reward modes, for every environment: {', '.join(reward_modes())}.")
    output.print(
        f"Step measures: {', '.join(sorted(MEASURES))}; in training also {OF_TRAINING}. accepts is"
        " for environments that check steps."
    )


def _described(env_id: str) -> tuple[str, str]:
    """What an environment is and its splits, or why it cannot be loaded."""
    target = gymnasium.spec(env_id).entry_point
    try:
        maker: Any = load_env_creator(target) if isinstance(target, str) else target
    except Exception as error:  # noqa: BLE001  # the boundary to other people's packages
        return f"cannot be loaded: {type(error).__name__}: {error}", "–"
    summary = (inspect.getdoc(maker) or "").partition("\n\n")[0].replace("\n", " ")
    return summary, ", ".join(_splits(maker)) or "–"


def _splits(maker: Any) -> Sequence[str]:
    """The values of the constructor's ``split``, from its annotation."""
    init = vars(maker).get("__init__") if isinstance(maker, type) else maker
    if init is None or "split" not in inspect.signature(init).parameters:
        return ()
    hint = get_type_hints(init).get("split")
    return get_args(hint) if get_origin(hint) is Literal else ("any",)
