"""The table of the reward modes, from their registry."""

from __future__ import annotations

import inspect

from srl_env.rewards import get_reward_mode, reward_modes


def modes_table() -> str:
    """A row for each registered mode: what it pays, its range and what it asks of the episode."""
    head = ["| mode | what it pays | a step | continuation, granularity | expert |"]
    return "\n".join([*head, "|---|---|---|---|---|", *map(_row, reward_modes())])


def _row(name: str) -> str:
    mode = get_reward_mode(name)
    described = getattr(mode, "function", type(mode))
    first = (inspect.getdoc(described) or "").partition("\n\n")[0].replace("\n", " ")
    given = getattr(mode, "reward_range", None)
    cells = [
        f"`{name}`",
        first,
        f"{given[0]:g} … {given[1]:g}".replace("-", "−") if given else "not stated",
        f"{mode.default_continuation}, {mode.default_granularity}",
        "needed" if mode.needs_expert else "not needed",
    ]
    return f"| {' | '.join(cells)} |"
