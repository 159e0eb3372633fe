"""Experts' beginnings, executed once: where ``start_step`` begins, as workspace snapshots.

Replaying k commands takes k times a command; putting a snapshot in place takes milliseconds.
One store serves all environments of a process, from any thread.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from srl_env.swe.tools import Bench

KEPT: Final = 512
MOST_BYTES: Final = 1 << 20


class World(Protocol):
    """What a replay is made in: a fresh workspace and its tools."""

    def take(self, action: str) -> str:
        """The answer to one action."""
        ...

    def keep(self) -> Bench:
        """The state now."""
        ...

    def put(self, bench: Bench) -> None:
        """Makes a fresh workspace what a kept one was."""
        ...


@dataclass(frozen=True, slots=True)
class _Kept:
    answers: tuple[str, ...]
    bench: Bench


class Replays:
    """States after an expert's first steps, the most recently used of them."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept, self._most = OrderedDict[tuple[str, ...], _Kept](), kept
        self._lock = threading.Lock()

    def replay(self, task: str, actions: Sequence[str], world: World) -> tuple[str, ...]:
        """Takes an expert's first actions in a fresh world; returns the answers to them.

        task: names the world's beginning. Goes on from the longest beginning that is kept.
        """
        done, found = self._longest(task, actions)
        if found is not None:
            world.put(found.bench)
        answers = found.answers if found else ()
        for number in range(done, len(actions)):
            answers = (*answers, world.take(actions[number]))
            self._add((task, *actions[: number + 1]), answers, world.keep)
        return answers

    def _longest(self, task: str, actions: Sequence[str]) -> tuple[int, _Kept | None]:
        with self._lock:
            for count in range(len(actions), 0, -1):
                key = (task, *actions[:count])
                if key in self._kept:
                    self._kept.move_to_end(key)
                    return count, self._kept[key]
        return 0, None

    def _add(
        self, key: tuple[str, ...], answers: tuple[str, ...], keep: Callable[[], Bench]
    ) -> None:
        bench = keep()
        if bench.workspace is None or sum(map(len, bench.workspace.contents)) > MOST_BYTES:
            return
        with self._lock:
            self._kept[key] = _Kept(answers, bench)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
