"""Runs in a terminal: the scores and curves, a list of steps, a group beside each other.

Whatever a policy wrote goes through ``escaped`` first, so that no escape sequence reaches the
terminal, and is never read as markup.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from srl_agents.evaluation.contrasts import TITLES as SCORE_TITLES
from srl_agents.evaluation.contrasts import percent, score_columns
from srl_agents.view.curves import Axis, band
from srl_agents.view.index import EpisodeEntry, Index, Row, StepEntry, make_index, read_row
from srl_agents.view.page import CURVES, MOST_STEPS, token_decoder
from srl_agents.view.query import Query, find_steps, read_query
from srl_agents.view.sources import ViewedRun, run_series
from srl_env.errors import BadOption, UserError
from srl_env.rewards.similarity import matched_blocks
from srl_env.text.unicode import escaped

ROWS = 20

HELP = """\
NUMBER      look at that step         n, p     further, back through the list
g, w        its group, whole rollout  h, l     the rollout before, after it in the group
t, m        with tokens, thinking     r        the runs again
NAME=VALUE  filter; several at once   clear    no filters          q  leave"""


def show(
    runs: Sequence[ViewedRun],
    console: Console,
    *,
    filters: Sequence[str] = (),
    step: int | None = None,
    ask: Callable[[], str] | None = None,
    most_steps: int = MOST_STEPS,
) -> None:
    """Shows the runs; then the steps that pass the filters, or one step with its group.

    step: its number in the list of all. ask: the next command of the person at the terminal,
    "q" for the end; None where nobody is there.
    Raises UnknownName and BadOption for filters, BadData for a damaged file.
    """
    query = read_query(filters)
    index = make_index(runs, most_steps=most_steps)
    screen = _Screen(runs, index, console, query)
    if step is None:
        screen.overview()
        screen.listed()
    else:
        screen.open(step)
    if ask is None:
        return
    console.print(HELP, style="dim", highlight=False, markup=False)
    while (command := ask().strip()) not in ("q", "quit", "exit"):
        try:
            screen.obey(command)
        except UserError as error:
            console.print(f"{error}", style="red", markup=False, highlight=False)


class _Screen:
    """What is on the screen: the list's page, the open step."""

    def __init__(
        self, runs: Sequence[ViewedRun], index: Index, console: Console, query: Query
    ) -> None:
        self.runs, self.index, self.console = runs, index, console
        self.found = find_steps(query, runs, index)
        self.page = 0
        self.step: int | None = None
        self.whole = self.tokens = self.thinking = False

    def obey(self, command: str) -> None:
        """Does what a command says; BadOption for what is none."""
        if command.isdigit():
            self.open(int(command))
        elif "=" in command:
            self._filter(read_query(re.split(r"\s+(?=\w+=)", command)))
        elif command == "clear":
            self._filter(read_query(()))
        elif command in ("n", "p"):
            pages = max(0, (len(self.found) - 1) // ROWS)
            self.page = min(max(self.page + (1 if command == "n" else -1), 0), pages)
            self.listed()
        elif command == "r":
            self.overview()
        elif command in ("g", "w", "t", "m", "h", "l"):
            self._turn(command)
        elif command:
            raise BadOption(f"no command {command!r}\n{HELP}")

    def overview(self) -> None:
        """Prints the runs with their scores, their curves, and what must be known of them."""
        self.console.print(_scores(self.runs))
        curves = _curves(self.runs)
        if curves.row_count:
            self.console.print(curves)
        for run in self.runs:
            for note in run.notes:
                self.console.print(f"{run.name}: {note}", style="yellow", markup=False)

    def listed(self) -> None:
        """Prints a page of the list."""
        begin = self.page * ROWS
        numbers = self.found[begin : begin + ROWS]
        if not numbers:
            told = "Nothing fits; try clear." if self.index.steps else "No rollouts are in these."
            self.console.print(told, style="yellow")
            return
        grid = Table(box=SIMPLE_HEAD, pad_edge=False, expand=self.console.is_terminal)
        for head in ("no.", "where", "step", "reward", "adv.", "", "action"):
            right = head in ("no.", "step", "reward", "adv.")
            grid.add_column(
                head, justify="right" if right else "left", no_wrap=True, overflow="ellipsis"
            )
        for episode, members in groupby(numbers, lambda n: self.index.steps[n].episode):
            entry = self.index.episodes[episode]
            row = read_row(entry)
            for number in members:
                grid.add_row(*self._list_row(number, entry, row))
        self.console.print(grid)
        last = begin + len(numbers)
        self.console.print(f"{begin + 1}–{last} of {self._counts()}", style="dim", highlight=False)

    def _counts(self) -> str:
        """How much is listed, as "30 steps of 12 rollouts of 6 problems"."""
        found = {self.index.steps[number].episode for number in self.found}
        problems = {self.index.episodes[episode].problem for episode in found}
        counts = {"step": len(self.found), "rollout": len(found), "problem": len(problems)}
        return " of ".join(f"{n:,} {name}{'' if n == 1 else 's'}" for name, n in counts.items())

    def open(self, number: int) -> None:
        """Prints a step with its group, or its whole rollout; BadOption where there is none."""
        if number >= len(self.index.steps):
            raise BadOption(
                f"no step {number}; there are {len(self.index.steps)}, from 0, as the list says"
            )
        self.step = number
        step = self.index.steps[number]
        episode = self.index.episodes[step.episode]
        self.console.print(self._head(episode, step))
        row = read_row(episode)
        if self.whole:
            for place in range(episode.count):
                self.console.print(self._card(episode, place, row, step_title=True))
            return
        expert = row["steps"][number - episode.first].get("expert_action")
        if expert is not None:
            self.console.print(Panel(Text(escaped(expert)), title="the expert", border_style="dim"))
        cards = [
            self._card(other, place, read_row(other))
            for other in self.index.group_of(episode)
            for place, theirs in enumerate(self.index.steps_of(other))
            if theirs.index == step.index
        ]
        self.console.print(Columns(cards, equal=True, expand=self.console.is_terminal))

    def _filter(self, query: Query) -> None:
        self.found, self.page = find_steps(query, self.runs, self.index), 0
        self.listed()

    def _turn(self, command: str) -> None:
        if self.step is None:
            raise BadOption("look at a step first: type its number")
        if command in ("h", "l"):
            self.open(self._beside(1 if command == "l" else -1))
            return
        if command in ("g", "w"):
            self.whole = command == "w"
        elif command == "t":
            self.tokens = not self.tokens
        else:
            self.thinking = not self.thinking
        self.open(self.step)

    def _beside(self, by: int) -> int:
        """The same step in the next rollout of the group."""
        assert self.step is not None
        step = self.index.steps[self.step]
        numbers = [
            other.first + place
            for other in self.index.group_of(self.index.episodes[step.episode])
            for place, theirs in enumerate(self.index.steps_of(other))
            if theirs.index == step.index
        ]
        return numbers[(numbers.index(self.step) + by) % len(numbers)]

    def _list_row(self, number: int, episode: EpisodeEntry, row: Row) -> list[RenderableType]:
        step = self.index.steps[number]
        when = episode.part if episode.update is None else f"update {episode.update}"
        run = f"{self.runs[episode.run].name} · " if len(self.runs) > 1 else ""
        action = row["steps"][number - episode.first]["action"]
        return [
            str(number),
            Text(escaped(f"{run}{when} · {episode.problem}")),
            str(step.index),
            "–" if step.reward is None else f"{step.reward:.2f}",
            "" if step.advantage is None else f"{step.advantage:+.2f}",
            _mark(episode),
            Text(escaped(action[:200]).replace("\n", "⏎") or "(empty)"),
        ]

    def _head(self, episode: EpisodeEntry, step: StepEntry) -> Text:
        run = self.runs[episode.run].name
        when = episode.part if episode.update is None else f"update {episode.update}"
        text = Text(escaped(f"{episode.problem} · step {step.index}"), style="bold")
        facts = [run, when, f"{episode.start_step} expert steps given"]
        facts += [_OUTCOMES[step.outcome]] if step.outcome else []
        facts += [f"failure: {episode.failure}"] if episode.failure else []
        return text.append("\n" + escaped(" · ".join(facts)), style="dim")

    def _card(self, episode: EpisodeEntry, place: int, row: Row, step_title: bool = False) -> Panel:
        """One step of one rollout."""
        number, step = episode.first + place, self.index.steps[episode.first + place]
        said = row["steps"][place]
        expert = said.get("expert_action")
        parts: list[RenderableType] = [_verdict_line(episode, step)]
        parts.append(_coloured(said["action"], expert))
        if step_title and expert is not None:
            parts.append(
                Text("expert: ", style="dim").append_text(_coloured(expert, said["action"], side=1))
            )
        parts.append(Text(_parts_text(said), style="dim"))
        for failure in (said["failure"], row["failure"] if place == episode.count - 1 else None):
            if failure:
                parts.append(Text(escaped(f"{failure['type']}: {failure['message']}"), style="red"))
                break
        if self.thinking:
            parts.append(Text(escaped(said["generation"]["text"]), style="italic dim"))
        if self.tokens:
            parts.append(self._token_text(episode, step, said))
        place_in_group = [e.number for e in self.index.group_of(episode)].index(episode.number)
        title = f"step {step.index}" if step_title else f"rollout {place_in_group + 1}"
        border = "blue" if number == self.step else "dim"
        return Panel(Group(*parts), title=f"{title} · no. {number}", border_style=border)

    def _token_text(self, episode: EpisodeEntry, step: StepEntry, said: Row) -> Text:
        """Each token with its log-probability; underlined where it was trained on."""
        decode = token_decoder(self.runs[episode.run])
        ids, logprobs = said["generation"]["token_ids"], said["generation"]["logprobs"]
        text = Text()
        for place, token in enumerate(ids):
            word = escaped(decode(token) if decode else f"#{token}").replace("\n", "⏎")
            text.append(
                word.replace(" ", "␣"), style="underline" if step.outcome == "trained" else ""
            )
            told = f"{logprobs[place]:.2f}" if place < len(logprobs) else "–"
            text.append(f" {told}  ", style="dim")
        prompt = len(said["generation"]["prompt_ids"])
        return text.append(f"({prompt} prompt tokens, masked)" if ids else "no tokens", style="dim")


_OUTCOMES = {
    "trained": "group trained on",
    "zero_std": "group dropped: rewards alike",
    "unused": "group dropped: the batch was full",
}


def _scores(runs: Sequence[ViewedRun]) -> Table:
    caption = "Intervals: 95 % over the problems of each run"
    grid = Table(box=SIMPLE_HEAD, pad_edge=False, caption=caption, caption_justify="left")
    rows: Any = [run for run in runs if run.scores]
    names = score_columns(rows)
    grid.add_column("run")
    for name in names:
        grid.add_column(f"{SCORE_TITLES.get(name, name)} %", justify="right")
    for head in ("updates", "seconds", "tokens", "failures"):
        grid.add_column(head, justify="right")
    for run in runs:
        last = run.updates[-1] if run.updates else {}
        spent = [last.get(name) for name in ("update", "seconds", "tokens")]
        failures = sum(run.result.failures.values()) if run.result else 0
        scores = [percent(run.scores.get(name), interval=name == "pass@1") for name in names]
        told = ["–" if value is None else f"{value:,.0f}" for value in spent]
        grid.add_row(Text(escaped(run.name)), *scores, *told, str(failures))
    return grid


def _curves(runs: Sequence[ViewedRun]) -> Table:
    """Each curve of each method as a line of blocks, its ends, and the last interval."""
    grid = Table(box=SIMPLE_HEAD, pad_edge=False)
    for head in ("along updates", "method", "", "first", "last", "95 %"):
        grid.add_column(head, justify="right" if head in ("first", "last") else "left")
    axis: Axis = "update"
    for name, title in CURVES.items():
        shown = title
        for method in dict.fromkeys(run.method for run in runs):
            of = [run_series(run, name, axis) for run in runs if run.method == method]
            known = [found for found in of if found is not None]
            if not known:
                continue
            curve = band(known)
            interval = f"{curve.low[-1]:.3g} … {curve.high[-1]:.3g}" if curve.over else ""
            ends = [f"{value:.3g}" for value in (curve.middle[0], curve.middle[-1])]
            grid.add_row(shown, Text(escaped(method)), _line([*curve.middle]), *ends, interval)
            shown = ""
    return grid


def _line(values: Sequence[float], width: int = 30) -> str:
    """The values as blocks of eight heights."""
    if len(values) > width:
        values = [values[i * len(values) // width] for i in range(width)]
    low, high = min(values), max(values)
    scale = 7 / (high - low) if high > low else 0.0
    return "".join("▁▂▃▄▅▆▇█"[round((value - low) * scale)] for value in values)


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


def _coloured(text: str, other: str | None, side: int = 0) -> Text:
    """The text, what it shares with the other on green, the rest underlined.

    side: 0 where the text is the action and the other the expert's, 1 the other way round.
    """
    if other is None:
        return Text(escaped(text) or "(empty)")
    begin = len(text) - len(text.lstrip())
    pair = (text.strip(), other.strip())
    blocks = matched_blocks(*(pair if side == 0 else pair[::-1]))
    result, last = Text(escaped(text[:begin])), 0
    for block in blocks:
        at, size = block[side], block[2]
        result.append(escaped(pair[0][last:at]), style="underline")
        result.append(escaped(pair[0][at : at + size]), style="black on green")
        last = at + size
    result.append(escaped(pair[0][last:]), style="underline")
    return result if result.plain else Text("(empty)")


def _parts_text(said: Row) -> str:
    parts = [f"{name} {value:.3g}" for name, value in said["reward_parts"].items()]
    parts += [f"{len(said['generation']['token_ids'])} tokens"]
    parts += ["cut at the token limit"] if said["generation"]["finish_reason"] == "length" else []
    return escaped(" · ".join(parts))
