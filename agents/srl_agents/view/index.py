"""Rollouts in columns: one entry per episode and per step. The texts stay in their logs.

Texts come from the row: while the index is made (the page), or later from the episode's log (the
terminal).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from srl_agents.runs.episode_rows import EpisodeRows, Row
from srl_agents.view.sources import Phase, ViewedRun
from srl_env.errors import BadData

OnEpisode = Callable[["EpisodeEntry", Row], None]

MOST_STEPS = 200_000
"""Default number of steps that are shown."""


@dataclass(frozen=True, slots=True)
class EpisodeEntry:
    """One episode.

    run: index into the runs. update: of training, else None. part: the stage, or the kind of
    evaluation. group: rollouts of one start share the number. correct: None without a verdict.
    failure: the type, or "". first, count: of its steps. place: its log, and its number there.
    """

    number: int
    run: int
    phase: Phase
    update: int | None
    part: str
    group: int
    problem: str
    start_step: int
    correct: bool | None
    failure: str
    first: int
    count: int
    place: tuple[EpisodeRows, int]


@dataclass(frozen=True, slots=True)
class StepEntry:
    """One step. reward: None for a failure; advantage, outcome: None outside of training."""

    episode: int
    index: int
    reward: float | None
    advantage: float | None
    outcome: str | None
    format_ok: bool
    legal: bool | None
    failure: str


@dataclass(frozen=True, slots=True)
class Index:
    """The episodes and steps that are shown; left_out: the number of other steps in the files."""

    episodes: list[EpisodeEntry]
    steps: list[StepEntry]
    left_out: int

    def steps_of(self, episode: EpisodeEntry) -> list[StepEntry]:
        """The episode's steps, in order."""
        return self.steps[episode.first : episode.first + episode.count]

    def group_of(self, episode: EpisodeEntry) -> list[EpisodeEntry]:
        """The episodes of the same start, this one included."""
        return [other for other in self.episodes if other.group == episode.group]


def make_index(
    runs: Sequence[ViewedRun], *, most_steps: int, on_episode: OnEpisode | None = None
) -> Index:
    """The index of all rollouts of some runs.

    most_steps: files with more steps are thinned evenly, by whole groups. on_episode: called with
    every entry and its row. Raises BadData for a line that is not an episode.
    """
    logs = [
        (i, phase, EpisodeRows(path, repair=False))
        for i, run in enumerate(runs)
        for phase, path in run.rollouts
    ]
    total = sum(sum(steps) for _, _, log in logs for (steps,) in log.columns("steps"))
    every = max(1, math.ceil(total / most_steps))
    index, first = Index([], [], 0), 0
    for run, phase, log in logs:
        groups = _groups(log, first)
        for (number, text), group in zip(log.texts(), groups, strict=True):
            first = max(first, group + 1)
            if group % every:
                continue
            try:
                row = json.loads(text)
                _add(index, row, run, phase, group, (log, number))
            except (KeyError, TypeError, IndexError, ValueError) as error:
                raise BadData(
                    f"{log.where(number)}: not a rollout ({type(error).__name__}: {error}). Fix:"
                    " use a log that srl-env train or srl-env eval wrote"
                ) from None
            if on_episode:
                on_episode(index.episodes[-1], row)
    return Index(index.episodes, index.steps, total - len(index.steps))


def read_row(episode: EpisodeEntry) -> Row:
    """The row of an episode."""
    return next(read_rows([episode]))


def read_rows(episodes: Iterable[EpisodeEntry]) -> Iterator[Row]:
    """The rows of episodes in the order of the index."""
    for log, members in groupby(episodes, lambda episode: episode.place[0]):
        for _, row in log.read(episode.place[1] for episode in members):
            yield row


def _groups(log: EpisodeRows, first: int) -> Iterator[int]:
    """The number of the group of each episode of a log; the first one's is ``first``.

    The rollouts of one start are of one update, or neighbours.
    """
    together, known = None, dict[tuple[Any, ...], int]()
    for columns in log.columns("update", "part", "group", "problem"):
        for update, part, group, problem in zip(*columns, strict=True):
            now = (update, part, group if update is None else None)
            if now != together:
                first, together, known = first + len(known), now, {}
            yield known.setdefault((group, problem), first + len(known))


def _add(
    index: Index, row: Row, run: int, phase: Phase, group: int, place: tuple[EpisodeRows, int]
) -> None:
    verdict, number = row["verdict"], len(index.episodes)
    episode = EpisodeEntry(
        number=number,
        run=run,
        phase=phase,
        update=row.get("update"),
        part=str(row.get("stage", row.get("kind", ""))),
        group=group,
        problem=str(row["problem_id"]),
        start_step=int(row["start_step"]),
        correct=None if verdict is None else bool(verdict["correct"]),
        failure=_failure(row),
        first=len(index.steps),
        count=len(row["steps"]),
        place=place,
    )
    signals = row.get("signals") or [None] * len(row["steps"])
    steps = [
        StepEntry(
            episode=number,
            index=int(step["index"]),
            reward=None if step["reward"] is None else float(step["reward"]),
            advantage=(signal or {}).get("advantage"),
            outcome=(signal or {}).get("outcome"),
            format_ok=bool(step["format_ok"]),
            legal=step["legal"],
            failure=_failure(step),
        )
        for step, signal in zip(row["steps"], signals, strict=True)
    ]
    index.episodes.append(episode)
    index.steps.extend(steps)


def _failure(row: Row) -> str:
    return "" if row["failure"] is None else str(row["failure"]["type"])
