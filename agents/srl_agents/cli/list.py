"""``srl-env list``: the installed environments, described from their classes."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import gymnasium
import typer
from gymnasium.envs.registration import load_env_creator
from rich.table import Table

import srl_env
from srl_env.registration.ids import UnknownEnvironment

app = typer.Typer()


@dataclass(frozen=True, slots=True)
class Entry:
    """An environment. splits: () where it takes none. error: why it cannot be loaded."""

    id: str
    summary: str
    splits: tuple[str, ...] = ()
    error: str | None = None


def entries() -> list[Entry]:
    """All installed environments, by id; one that cannot be loaded says why."""
    return [_entry(env_id) for env_id in srl_env.environment_ids()]


def catalog_table(found: list[Entry]) -> Table:
    """The environments for the terminal."""
    grid = Table(show_lines=False)
    grid.add_column("id", no_wrap=True)
    grid.add_column("what it is")
    grid.add_column("splits")
    for entry in found:
        what = entry.summary if entry.error is None else f"cannot be loaded: {entry.error}"
        grid.add_row(entry.id, what, ", ".join(entry.splits) or "–")
    return grid


def _entry(env_id: str) -> Entry:
    target = gymnasium.spec(env_id).entry_point
    try:
        maker: Any = load_env_creator(target) if isinstance(target, str) else target
    except Exception as error:  # noqa: BLE001  # the boundary to other people's packages
        return Entry(env_id, "", error=f"{type(error).__name__}: {error}")
    summary = (inspect.getdoc(maker) or "").partition("\n\n")[0].replace("\n", " ")
    return Entry(env_id, summary, _splits(maker))


def _splits(maker: Any) -> tuple[str, ...]:
    """The values that the constructor's ``split`` takes, as its annotation says."""
    init = vars(maker).get("__init__") if isinstance(maker, type) else maker
    if init is None or "split" not in inspect.signature(init).parameters:
        return ()
    hint = get_type_hints(init).get("split")
    return get_args(hint) if get_origin(hint) is Literal else ("any",)


@app.command(
    "list",
    epilog="[bold]srl-env list[/]\n\n[bold]srl-env list chain[/]  ids that contain 'chain'",
)
def list_command(
    text: Annotated[str, typer.Argument(help="Only ids that contain this.")] = "",
) -> None:
    """Every installed environment: its id, what it is, and its splits."""
    from srl_agents.cli.console import output
    from srl_env.rewards import reward_modes

    found = [entry for entry in entries() if text.lower() in entry.id.lower()]
    if not found:
        raise UnknownEnvironment("environment", text, srl_env.environment_ids())
    output.print(catalog_table(found))
    output.print(f"Reward modes, any of them in any episode: {', '.join(reward_modes())}.")
