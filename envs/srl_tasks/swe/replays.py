"""Experts' first steps, executed once: ``start_step`` restores a snapshot in milliseconds.

One store serves all environments of a process, from any thread.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from srl_env.swe.tools import BenchState
from srl_tasks.swe.world import World

KEPT: Final = 512
MOST_BYTES: Final = 1 << 20

_Kept = tuple[tuple[str, ...], BenchState]


class Replays:
    """The most recently used states after an expert's first steps, with their observations."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept, self._most = OrderedDict[tuple[str, ...], _Kept](), kept
        self._lock = threading.Lock()

    def replay(self, task: str, actions: Sequence[str], world: World) -> tuple[str, ...]:
        """Takes an expert's first actions in a fresh world; returns their observations.

        task: identifies the fresh world. Starts from the longest prefix that is kept.
        """
        done, found = self._longest(task, actions)
        observations: tuple[str, ...] = ()
        if found is not None:
            observations, state = found
            world.bench.apply(state)
        for number in range(done, len(actions)):
            observations = (*observations, world.take(actions[number]))
            self._add((task, *actions[: number + 1]), observations, world.bench.snapshot())
        return observations

    def _longest(self, task: str, actions: Sequence[str]) -> tuple[int, _Kept | None]:
        with self._lock:
            for count in range(len(actions), 0, -1):
                key = (task, *actions[:count])
                if key in self._kept:
                    self._kept.move_to_end(key)
                    return count, self._kept[key]
        return 0, None

    def _add(self, key: tuple[str, ...], observations: tuple[str, ...], state: BenchState) -> None:
        if state.workspace is None or sum(map(len, state.workspace.contents)) > MOST_BYTES:
            return
        with self._lock:
            self._kept[key] = observations, state
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
