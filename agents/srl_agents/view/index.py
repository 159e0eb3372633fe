"""Rollouts in columns: one entry per episode and per step. The texts stay in their files.

Texts come from the row: while the index is made (the page), or later from the episode's place in
its file (the terminal).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from srl_agents.view.lines import count_in, read_line, read_lines
from srl_agents.view.sources import Phase, ViewedRun
from srl_env.errors import BadData

Row = dict[str, Any]
OnEpisode = Callable[["EpisodeEntry", Row], None]

MOST_STEPS = 200_000
"""Default number of steps that are shown."""


@dataclass(frozen=True, slots=True)
class EpisodeEntry:
    """One episode.

    run: index into the runs. update: of training, else None. part: the stage, or the kind of
    evaluation. group: rollouts of one start share the number. correct: None without a verdict.
    failure: the type, or "". first, count: of its steps. place: path and offset.
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
    place: tuple[Path, int]


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
    files = [(i, phase, path) for i, run in enumerate(runs) for phase, path in run.rollouts]
    total = sum(count_in(path, _STEP_MARK) for _, _, path in files)
    every = max(1, math.ceil(total / most_steps))
    index = Index([], [], 0)
    read = 0
    groups: dict[tuple[Any, ...], int] = {}
    for run, phase, path in files:
        for number, (offset, row) in enumerate(read_lines(path), 1):
            try:
                key = (run, phase, *(row.get(name) for name in _GROUP_KEYS), row["problem_id"])
                group = groups.setdefault(key, len(groups))
                read += len(row["steps"])
                if group % every == 0:
                    _add(index, row, run, phase, group, (path, offset))
            except (KeyError, TypeError, IndexError, ValueError) as error:
                raise BadData(
                    f"{path}:{number}: not a rollout ({type(error).__name__}: {error}). Fix: use a "
                    "file that srl-env train or srl-env eval wrote"
                ) from None
            if on_episode and group % every == 0:
                on_episode(index.episodes[-1], row)
    return Index(index.episodes, index.steps, read - len(index.steps))


def read_row(episode: EpisodeEntry) -> Row:
    """The line of an episode."""
    return read_line(*episode.place)


_STEP_MARK = b'"reward_parts"'
_GROUP_KEYS = ("update", "kind", "part", "group")


def _add(
    index: Index, row: Row, run: int, phase: Phase, group: int, place: tuple[Path, int]
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
