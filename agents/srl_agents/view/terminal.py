"""Runs in a terminal: scores and curves, a list of steps, one step beside those of its group.

Everything that a policy wrote goes through ``escaped`` first. No escape sequence reaches the
terminal, and nothing is read as markup.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from srl_agents.evaluation.contrasts import TITLES, percent, score_columns
from srl_agents.runs.episode_rows import Row
from srl_agents.view.curves import CURVES
from srl_agents.view.index import (
    MOST_STEPS,
    EpisodeEntry,
    Index,
    StepEntry,
    make_index,
    read_row,
)
from srl_agents.view.query import find_steps, read_query
from srl_agents.view.sources import ViewedRun, method_curves
from srl_agents.view.story import told
from srl_env.errors import BadOption
from srl_env.rewards.similarity import matched_blocks
from srl_env.text.unicode import escaped

ROWS = 50
"""Longest list of steps."""


def show(
    runs: Sequence[ViewedRun],
    console: Console,
    *,
    filters: Sequence[str] = (),
    step: int | None = None,
    most_steps: int = MOST_STEPS,
) -> None:
    """Prints the runs and the steps that pass the filters; or one step beside its group.

    step: its number in the list of all steps.
    Raises UnknownName and BadOption for filters, BadData for a damaged file.
    """
    query = read_query(filters)
    index = make_index(runs, most_steps=most_steps)
    if step is not None:
        _print_step(runs, index, step, console)
        return
    for table in (_scores(runs), _curves(runs)):
        if table.row_count:
            console.print(table)
    for run in runs:
        for note in run.notes:
            console.print(f"{run.name}: {note}", style="yellow", markup=False)
    _print_list(runs, index, find_steps(query, runs, index), console)


# The list of steps


def _print_list(
    runs: Sequence[ViewedRun], index: Index, numbers: Sequence[int], console: Console
) -> None:
    if not numbers:
        message = "No step passes the filters." if index.steps else "There are no rollouts."
        console.print(message, style="yellow")
        return
    grid = _table("no.", *(("where",), "step", "reward", "adv.", ("",)))
    grid.expand = console.is_terminal
    grid.add_column("action", no_wrap=True, overflow="ellipsis")
    shown = numbers[:ROWS]
    for episode, members in groupby(shown, lambda number: index.steps[number].episode):
        entry = index.episodes[episode]
        row = read_row(entry)
        for number in members:
            grid.add_row(*_list_row(runs, index, number, entry, row))
    console.print(grid)
    episodes = {index.steps[number].episode for number in numbers}
    problems = {index.episodes[episode].problem for episode in episodes}
    counts = {"step": len(numbers), "rollout": len(episodes), "problem": len(problems)}
    total = " of ".join(f"{n:,} {name}{'' if n == 1 else 's'}" for name, n in counts.items())
    more = "; --where NAME=VALUE filters them" if len(numbers) > ROWS else ""
    console.print(f"1–{len(shown)} of {total}{more}", style="dim", highlight=False)


def _list_row(
    runs: Sequence[ViewedRun], index: Index, number: int, episode: EpisodeEntry, row: Row
) -> list[RenderableType]:
    step = index.steps[number]
    run = f"{runs[episode.run].name} · " if len(runs) > 1 else ""
    action = row["steps"][number - episode.first]["action"]
    call = told(action)
    return [
        str(number),
        Text(escaped(f"{run}{_when(episode)} · {episode.problem}")),
        str(step.index),
        "–" if step.reward is None else f"{step.reward:.2f}",
        "" if step.advantage is None else f"{step.advantage:+.2f}",
        _mark(episode),
        Text(escaped(call.title if call else action[:200]).replace("\n", "⏎") or "(empty)"),
    ]


def _when(episode: EpisodeEntry) -> str:
    return episode.part if episode.update is None else f"update {episode.update}"


# One step beside those of its group


def _print_step(runs: Sequence[ViewedRun], index: Index, number: int, console: Console) -> None:
    if number >= len(index.steps):
        raise BadOption(f"step must be below {len(index.steps)}, as in the list; got {number}")
    step = index.steps[number]
    episode = index.episodes[step.episode]
    facts = [runs[episode.run].name, _when(episode), f"{episode.start_step} expert steps given"]
    facts += [_OUTCOMES[step.outcome]] if step.outcome else []
    facts += [f"failure: {episode.failure}"] if episode.failure else []
    title = Text(escaped(f"{episode.problem} · step {step.index}"), style="bold")
    console.print(title.append("\n" + escaped(" · ".join(facts)), style="dim"))
    said = read_row(episode)["steps"][number - episode.first]
    if said.get("expert_action") is not None:
        console.print(Panel.fit(Text(escaped(said["expert_action"])), title="the expert"))
    if said["generation"]["text"] != said["action"]:
        console.print(Panel.fit(Text(escaped(said["generation"]["text"])), title="the completion"))
    cards = [
        _card(rollout, other, place, theirs, number)
        for rollout, other in enumerate(index.group_of(episode), 1)
        for place, theirs in enumerate(index.steps_of(other))
        if theirs.index == step.index
    ]
    console.print(Columns(cards, equal=True, expand=console.is_terminal))


_OUTCOMES = {
    "trained": "group trained on",
    "zero_std": "group dropped: rewards alike",
    "unused": "group dropped: the batch was full",
}


def _card(
    rollout: int, episode: EpisodeEntry, place: int, step: StepEntry, chosen: int
) -> RenderableType:
    row, number = read_row(episode), episode.first + place
    said = row["steps"][place]
    facts = [f"{name} {value:.3g}" for name, value in said["reward_parts"].items()]
    facts += [f"{len(said['generation']['token_ids'])} tokens"]
    facts += ["truncated"] if said["generation"]["finish_reason"] == "length" else []
    parts = [_verdict_line(episode, step), _coloured(said["action"], said.get("expert_action"))]
    parts.append(Text(escaped(" · ".join(facts)), style="dim"))
    if failure := said["failure"] or (row["failure"] if place == episode.count - 1 else None):
        parts.append(Text(escaped(f"{failure['type']}: {failure['message']}"), style="red"))
    border = "blue" if number == chosen else "dim"
    return Panel(Group(*parts), title=f"rollout {rollout} · no. {number}", border_style=border)


def _verdict_line(episode: EpisodeEntry, step: StepEntry) -> Text:
    text = Text("reward ")
    text.append("none" if step.reward is None else f"{step.reward:.3g}", style="bold")
    if step.advantage is not None:
        colour = "green" if step.advantage > 0 else "red" if step.advantage < 0 else ""
        text.append(" advantage ").append(f"{step.advantage:+.2f}", style=f"bold {colour}")
    text.append(" ").append_text(_mark(episode))
    if not step.format_ok:
        text.append(" format broken", style="red")
    if step.legal is not None:
        text.append(" legal" if step.legal else " illegal", style="green" if step.legal else "red")
    return text


def _mark(episode: EpisodeEntry) -> Text:
    if episode.failure:
        return Text("⚠", style="red")
    if episode.correct is None:
        return Text("·")
    return Text("✓", style="green") if episode.correct else Text("✗", style="red")


def _coloured(action: str, expert: str | None) -> Text:
    """The action: green where it matches the expert's step, the rest underlined."""
    if expert is None or not action.strip():
        return Text(escaped(action) or "(empty)")
    stripped, last = action.strip(), 0
    result = Text()
    for at, _, size in matched_blocks(stripped, expert.strip()):
        result.append(escaped(stripped[last:at]), style="underline")
        result.append(escaped(stripped[at : at + size]), style="black on green")
        last = at + size
    return result.append(escaped(stripped[last:]), style="underline")


# Tables of the runs


def _table(first: str, *heads: str | tuple[str], caption: str | None = None) -> Table:
    """heads: of columns aligned right; (head,) is aligned left."""
    grid = Table(box=SIMPLE_HEAD, pad_edge=False, caption=caption, caption_justify="left")
    grid.add_column(first, no_wrap=True, overflow="ellipsis")
    for head in heads:
        if isinstance(head, str):
            grid.add_column(head, justify="right")
        else:
            grid.add_column(head[0])
    return grid


def _scores(runs: Sequence[ViewedRun]) -> Table:
    rows: Any = [run for run in runs if run.scores]
    names = score_columns(rows)
    heads = [f"{TITLES.get(name, name)} %" for name in names]
    heads += ["updates", "seconds", "tokens", "failures"]
    grid = _table("run", *heads, caption="Intervals: 95 % over the problems of each run")
    for run in runs:
        last = run.updates[-1] if run.updates else {}
        usage = [last.get(name) for name in ("update", "seconds", "tokens")]
        failures = sum(run.result.failures.values()) if run.result else 0
        scores = [percent(run.scores.get(name), interval=name == "pass@1") for name in names]
        cells = ["–" if value is None else f"{value:,.0f}" for value in usage]
        grid.add_row(Text(escaped(run.name)), *scores, *cells, str(failures))
    return grid


def _curves(runs: Sequence[ViewedRun]) -> Table:
    """Each curve of each method as a line of blocks, with its ends and the last interval."""
    grid = _table("along updates", ("method",), ("",), "first", "last", ("95 %",))
    for name, curve in CURVES.items():
        title = curve.title.capitalize()
        for method, band in method_curves(runs, name, "update").items():
            interval = f"{band.low[-1]:.3g} … {band.high[-1]:.3g}" if band.over else ""
            ends = [f"{value:.3g}" for value in (band.middle[0], band.middle[-1])]
            grid.add_row(title, Text(escaped(method)), _line(band.middle.tolist()), *ends, interval)
            title = ""
    return grid


def _line(values: Sequence[float], width: int = 30) -> str:
    """The values as blocks of eight heights."""
    if len(values) > width:
        values = [values[i * len(values) // width] for i in range(width)]
    low, high = min(values), max(values)
    scale = 7 / (high - low) if high > low else 0.0
    return "".join("▁▂▃▄▅▆▇█"[round((value - low) * scale)] for value in values)
