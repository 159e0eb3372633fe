"""Evaluated episodes on disk, and the texts of unfinished ones."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srl_agents.evaluation.plan import Plan
from srl_agents.runs.episode_rows import PART, EpisodeRows, Row, arrow
from srl_agents.runs.files import write_json
from srl_env.errors import BadData
from srl_env.policy import Generation
from srl_env.problem import ProblemSource
from srl_env.rollout import Episode

EPISODES, UNFINISHED = "episodes", "unfinished.json"
_CHECKED = 64
"""Of finished parts every so many episodes are compared with the source of problems."""


class EpisodeLog:
    """The folder ``episodes``: each episode of an evaluation as soon as it is finished, by number.

    ``unfinished.json`` beside it holds what the policy has written in unfinished episodes. No
    episode stays in memory. For one thread at a time.
    """

    def __init__(self, path: Path | None, *, repair: bool = True) -> None:
        """Opens or makes the log (``EpisodeRows``); None only counts.

        Raises BadData for a complete line that is not an episode.
        """
        self.path = path
        self.rows = None if path is None else EpisodeRows(path, repair=repair)
        self._counted = 0  # without a path
        self._written: dict[int, Sequence[Generation]] = {}
        if path is not None:
            self._written = _read_unfinished(path.with_name(UNFINISHED))

    @property
    def count(self) -> int:
        """How many episodes are finished."""
        return self._counted if self.rows is None else self.rows.count

    def __contains__(self, number: int) -> bool:
        return self.rows is not None and number in self.rows

    def check(self, plan: Plan, source: ProblemSource) -> None:
        """Raises BadData if the log has episodes that are not of this plan.

        Of the parts that are complete, every 64th episode is compared. Raises MissingExtra for a
        plan whose log needs pyarrow, if it is not installed.
        """
        if self.rows is not None and len(plan) >= PART:
            arrow()
        for number, kind, problem in self._compared():
            if number >= len(plan) or plan[number].kind != kind:
                raise BadData(
                    f"{self._where(number)}: {kind} episode {number} is not part of an evaluation"
                    " with these settings. Fix: evaluate into another folder"
                )
            expected = source[int(plan[number].start.options["problem"])].id
            if problem != expected:
                raise BadData(
                    f"{self._where(number)}: the problem of episode {number} must be {expected!r}"
                    f" of {source.name}, whose problems have changed since; got {problem!r}. Fix:"
                    " evaluate into another folder"
                )

    def add(self, episodes: Mapping[int, tuple[str, Episode]]) -> None:
        """Appends finished episodes: {number: (kind, episode)}."""
        if self.rows is None:
            self._counted += len(episodes)
        else:
            self.rows.add({n: {"kind": kind, **e.to_json()} for n, (kind, e) in episodes.items()})
        for number in episodes:
            self._written.pop(number, None)

    def drop_failed(self) -> None:
        """Forgets the episodes that an infrastructure failure ended, so that they are run again."""
        failed = (
            number
            for columns in self.columns("number", "failure")
            for number, failure in zip(*columns, strict=True)
            if failure
        )
        if self.rows is not None:
            self.rows.drop(list(failed))

    def read(self, numbers: Iterable[int] | None = None) -> Iterator[tuple[int, Episode]]:
        """The finished episodes of these numbers, ascending; or all."""
        for number, row in () if self.rows is None else self.rows.read(numbers):
            yield number, self._episode(number, row)

    def has(self, numbers: range) -> NDArray[np.bool_]:
        """For each number whether the episode is finished."""
        return np.zeros(len(numbers), bool) if self.rows is None else self.rows.has(numbers)

    def columns(self, *names: str) -> Iterator[tuple[list[Any], ...]]:
        """Small columns of the finished episodes, as ``EpisodeRows.columns``."""
        return iter(()) if self.rows is None else self.rows.columns(*names)

    def written(self, number: int) -> tuple[Generation, ...]:
        """What the policy had written in an interrupted episode."""
        return tuple(self._written.get(number, ()))

    def save_unfinished(self, written: Mapping[int, Sequence[Generation]]) -> None:
        """Saves what the policy has written in unfinished episodes."""
        if self.path is None or not written:
            return
        self._written.update(written)
        rows = [
            {"number": number, "written": [one.to_json() for one in made]}
            for number, made in self._written.items()
        ]
        write_json(self.path.with_name(UNFINISHED), rows)

    def finish(self) -> None:
        """Puts the episodes in order, so that the files do not depend on interruptions."""
        if self.path is not None and self.rows is not None:
            self.rows.sort()
            self.path.with_name(UNFINISHED).unlink(missing_ok=True)

    def _compared(self) -> Iterator[tuple[int, str, str]]:
        """(number, kind, problem) of the episodes to compare with a plan."""
        for columns in self.columns("number", "part", "problem"):
            for number, kind, problem in zip(*columns, strict=True):
                if self.rows and (number % _CHECKED == 0 or not self.rows.is_full(number)):
                    yield number, kind, problem

    def _episode(self, number: int, row: Row) -> Episode:
        try:
            fields = {name: value for name, value in row.items() if name not in ("number", "kind")}
            return Episode.from_json(fields)
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise BadData(
                f"{self._where(number)}: must be an episode of an evaluation; got"
                f" {type(error).__name__}: {error}. Fix: evaluate into another folder"
            ) from error

    def _where(self, number: int) -> str:
        return "episodes" if self.rows is None else self.rows.where(number)


def _read_unfinished(path: Path) -> dict[int, Sequence[Generation]]:
    if not path.is_file():
        return {}
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return {
            int(row["number"]): tuple(map(Generation.from_json, row["written"])) for row in rows
        }
    except (ValueError, KeyError, TypeError) as error:
        raise BadData(
            f"{path}: must hold the texts of unfinished episodes; got {error!r}. Fix: delete it;"
            " these episodes then start again"
        ) from error
