"""Rollouts in columns: one entry per episode and per step, the texts left in their files.

Whoever needs a text gets it from the row, while the index is being made (the page) or later
by the episode's place in its file (the terminal).
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


@dataclass(frozen=True, slots=True)
class EpisodeEntry:
    """One episode: where it comes from, how it ended, and which steps are its.

    run: index into the runs. update: of training, None elsewhere. part: the stage, or what kind
    of evaluation. group: rollouts of one start share the number. correct: None where there is
    no verdict. failure: the type, "" without one. first, count: its steps. place: path, offset.
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
    """One step. reward: None after a failure; advantage, outcome: None outside training."""

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
    """All episodes and steps that are shown; left_out: how many steps the files hold besides."""

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

    most_steps: where the files hold about more than so many, whole groups are left out, evenly.
    on_episode: called with every entry and its row. Raises BadData for a line that is no episode.
    """
    files = [(i, phase, path) for i, run in enumerate(runs) for phase, path in run.rollouts]
    total = sum(count_in(path, _STEP_MARK) for _, _, path in files)
    every = max(1, math.ceil(total / most_steps))
    episodes: list[EpisodeEntry] = []
    steps: list[StepEntry] = []
    seen = 0
    groups: dict[tuple[Any, ...], int] = {}
    for run, phase, path in files:
        for number, (offset, row) in enumerate(read_lines(path), 1):
            try:
                key = (run, phase, *(row.get(name) for name in _GROUP_KEYS), row["problem_id"])
                group = groups.setdefault(key, len(groups))
                seen += len(row["steps"])
                if group % every:
                    continue
                entry = _episode(row, len(episodes), run, phase, group, len(steps), (path, offset))
                steps += [_step(row, entry.number, i) for i in range(entry.count)]
            except (KeyError, TypeError, IndexError, ValueError) as error:
                raise BadData(
                    f"{path}:{number}: not a rollout ({type(error).__name__}: {error}); give a file"
                    " that srl-env train or srl-env eval wrote"
                ) from None
            episodes.append(entry)
            if on_episode:
                on_episode(entry, row)
    return Index(episodes, steps, seen - len(steps))


def read_row(episode: EpisodeEntry) -> Row:
    """The line that an episode was read from."""
    return read_line(*episode.place)


_STEP_MARK = b'"reward_parts"'
_GROUP_KEYS = ("update", "kind", "part", "group")


def _episode(
    row: Row, number: int, run: int, phase: Phase, group: int, first: int, place: tuple[Path, int]
) -> EpisodeEntry:
    verdict, failure = row["verdict"], row["failure"]
    return EpisodeEntry(
        number=number,
        run=run,
        phase=phase,
        update=row.get("update"),
        part=str(row.get("stage", row.get("kind", ""))),
        group=group,
        problem=str(row["problem_id"]),
        start_step=int(row["start_step"]),
        correct=None if verdict is None else bool(verdict["correct"]),
        failure="" if failure is None else str(failure["type"]),
        first=first,
        count=len(row["steps"]),
        place=place,
    )


def _step(row: Row, episode: int, number: int) -> StepEntry:
    step = row["steps"][number]
    signal = (row.get("signals") or [None] * len(row["steps"]))[number] or {}
    failure, reward = step["failure"], step["reward"]
    return StepEntry(
        episode=episode,
        index=int(step["index"]),
        reward=None if reward is None else float(reward),
        advantage=signal.get("advantage"),
        outcome=signal.get("outcome"),
        format_ok=bool(step["format_ok"]),
        legal=step["legal"],
        failure="" if failure is None else str(failure["type"]),
    )
