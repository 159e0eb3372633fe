"""Lists of episodes: of millions, one page is read at a time.

    listing = Listing(find_runs(Path("runs/first")))
    page = listing.page(3, 50, read_query(["verdict=wrong"]))

A list and its filters read the small columns of the logs (``srl_agents.runs.episode_rows``), so
memory does not depend on the number of episodes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

from srl_agents.runs.episode_rows import EpisodeRows, Row
from srl_agents.view.query import FILTERS, Query
from srl_agents.view.sources import ViewedRun
from srl_env.errors import BadOption

_COLUMNS: Final = ("update", "part", "problem", "steps", "reward", "correct", "failure")
_FILTERED: Final = ("run", "problem", "reward", "verdict", "failure", "part")


@dataclass(frozen=True, slots=True)
class Listed:
    """One episode as lists show it. number: its place among all. reward: the sum of its steps',
    None after a failure. correct: None without a verdict. failure: the type, or ""."""

    number: int
    run: str
    update: int | None
    part: str
    problem: str
    steps: int
    reward: float | None
    correct: bool | None
    failure: str


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the episodes that pass a filter. total: how many pass it, of ``count`` in all."""

    listed: tuple[Listed, ...]
    total: int
    count: int


class Listing:
    """The episodes of some runs, in order. ``count``: how many there are."""

    def __init__(self, runs: Sequence[ViewedRun]) -> None:
        self._logs = [
            (run.name, EpisodeRows(path, repair=False)) for run in runs for _, path in run.rollouts
        ]
        self.count = sum(log.count for _, log in self._logs)

    def __iter__(self) -> Iterator[Listed]:
        number = 0
        for run, log in self._logs:
            for columns in log.columns(*_COLUMNS):
                for values in zip(*columns, strict=True):
                    yield Listed(number, run, *values)
                    number += 1

    def page(self, number: int, size: int, query: Query) -> Page:
        """The page of that number, from 1, of the episodes that pass the filters.

        Raises ``BadOption`` for a filter that lists do not know, and for a page after the last.
        """
        for name in query:
            if name not in _FILTERED:
                raise BadOption(
                    f"a filter of episodes must be one of {', '.join(_FILTERED)}; got {name!r}"
                    f" ({FILTERS[name]}). Fix: leave it out, or use it with --terminal"
                )
        first, total, shown = (number - 1) * size, 0, list[Listed]()
        for listed in self:
            if _passes(query, listed):
                if first <= total < first + size:
                    shown.append(listed)
                total += 1
        if not shown and number > 1:
            raise BadOption(f"page must be at most {max(1, ceil(total / size))}; got {number}")
        return Page(tuple(shown), total, self.count)

    def episode(self, number: int) -> Row:
        """The whole episode at that place among all; ``BadOption`` if there is none."""
        place = number
        for _, log in self._logs:
            for (numbers,) in log.columns("number") if place < log.count else ():
                if place < len(numbers):
                    return next(row for _, row in log.read([numbers[place]]))
                place -= len(numbers)
            place -= log.count
        raise BadOption(f"an episode must be below {self.count:,}; got {number:,}")


def _passes(query: Query, listed: Listed) -> bool:
    failures = {listed.failure, "any"} if listed.failure else {"none"}
    low, high = query.get("reward", (None, None))
    return (
        query.get("run", "") in listed.run.lower()
        and query.get("problem", "") in listed.problem.lower()
        and query.get("verdict", listed.correct) == listed.correct
        and query.get("part", listed.part) == listed.part
        and ("failure" not in query or query["failure"] in failures)
        and (low is None or (listed.reward is not None and low <= listed.reward <= high))
    )
