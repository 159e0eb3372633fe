"""A page of the episodes of some runs in the terminal, and one episode."""

from __future__ import annotations

import json
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from srl_agents.view.listing import Listing
from srl_agents.view.query import read_query
from srl_agents.view.sources import ViewedRun
from srl_env.text.unicode import escaped

ROWS = 50
"""Episodes on a page."""


def show_page(
    runs: Sequence[ViewedRun], console: Console, *, number: int, filters: Sequence[str]
) -> None:
    """Prints one page of the episodes that pass the filters."""
    page = Listing(runs).page(number, ROWS, read_query(filters))
    grid = Table(box=SIMPLE_HEAD, pad_edge=False)
    grid.add_column("no.", justify="right")
    for name in ("run", "where", "problem"):
        grid.add_column(name, overflow="ellipsis", no_wrap=True)
    for name in ("steps", "reward"):
        grid.add_column(name, justify="right")
    grid.add_column("verdict")
    for each in page.listed:
        where = each.part if each.update is None else f"update {each.update}"
        reward = "–" if each.reward is None else f"{each.reward:.2f}"
        verdict = each.failure or {True: "right", False: "wrong", None: "none"}[each.correct]
        cells = [Text(escaped(text)) for text in (each.run, where, each.problem)]
        end = Text(escaped(verdict))
        grid.add_row(str(each.number), *cells, str(each.steps), reward, end)
    console.print(grid)
    pages = max(1, -(-page.total // ROWS))
    console.print(
        f"page {number:,} of {pages:,}: {page.total:,} of {page.count:,} episodes; --page and"
        " --where choose others, --episode NO. shows one",
        style="dim",
        highlight=False,
    )


def show_episode(
    runs: Sequence[ViewedRun], console: Console, number: int, *, as_json: bool = False
) -> None:
    """Prints one episode: its first prompt, and each step with what the world answered.

    as_json: prints the row of the log instead.
    """
    row = Listing(runs).episode(number)
    if as_json:
        console.print(json.dumps(row), soft_wrap=True, markup=False, highlight=False)
        return
    console.print(Text(escaped(f"{row['problem_id']} · no. {number}"), style="bold"))
    for step in row["steps"][:1]:
        for message in step["messages"]:
            content = Text(escaped(str(message.get("content") or "")))
            console.print(Panel.fit(content, title=Text(escaped(str(message["role"])))))
    for step in row["steps"]:
        reward = "none" if step["reward"] is None else f"{step['reward']:.3g}"
        title = Text(f"step {step['index']}, reward {reward}")
        console.print(Panel.fit(Text(escaped(step["generation"]["text"])), title=title))
        if step.get("observation"):
            console.print(Text(escaped(step["observation"]), style="dim"))
    for name in ("verdict", "failure"):
        if row[name]:
            console.print(Text(escaped(f"{name}: {row[name]}")))
