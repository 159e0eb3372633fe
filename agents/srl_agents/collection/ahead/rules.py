"""How much is sampled ahead, and how old a sample is: pure functions.

A version of the weights is counted in updates that changed them. A sample's staleness is the
learner's version at the time it is trained on, minus the version that sampled it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from srl_env.rollout import Episode


def room(max_staleness: int, expected: int, taken: int, missing: int, pending: int) -> int:
    """How many more groups may be begun now.

    expected: groups that an update takes. taken: by this update so far. missing: that it needs at
    least. pending: begun and not taken. What this update still needs may be begun, and all of the
    next ``max_staleness`` updates. So a group that is taken in the order in which it was begun is
    at most that stale, and no more than (max_staleness + 1) · expected groups are in memory.
    """
    needed = max(expected - taken, missing)
    return max(0, needed + max_staleness * expected - pending)


def groups_in_a_job(most: int | None, max_staleness: int, expected: int, slots: int) -> int:
    """How many groups run together, so that every slot has a job while the learner updates.

    most: the configured number, if any. slots: jobs that run at the same time.
    """
    return most or max(1, min(8, math.ceil(max_staleness * expected / slots)))


def versions(episodes: Iterable[Episode]) -> Iterator[int]:
    """The version of the weights of each completion that has one."""
    for episode in episodes:
        for step in episode.steps:
            if step.generation.version is not None:
                yield step.generation.version


def staleness(episodes: Iterable[Episode], now: int) -> int:
    """How old the oldest completion is; 0 if there is none."""
    return now - min(versions(episodes), default=now)
