"""Which kind of bug is tried next: each kind has a quota of the tasks.

A kind gets more tasks than its quota only where no other kind is below its own and has candidates.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final, Generic, TypeVar

T = TypeVar("T")

TRIES_OF_A_TASK: Final = 8  # so many count as much as one task, so that others get their turn


class Quotas(Generic[T]):
    """Candidates of several kinds, and how many of each kind became tasks.

    A quota is a kind's share of the tasks that are wanted, by its weight, rounded up. What kinds
    without candidates leave over is shared by the others in the same way.

    kept: {kind: tasks}. exhausted: kinds that have no candidates left.
    """

    def __init__(
        self,
        candidates: Mapping[str, Iterator[T]],
        wanted: int | None,
        weights: Mapping[str, int] | None = None,
    ) -> None:
        """candidates: of each kind, in the order in which they are tried; kinds that are equally
        full are tried in the order of this mapping. wanted: tasks; None for all that are useful.
        weights: of kinds; 1 where it names none.
        """
        self._candidates, self._wanted = dict(candidates), wanted
        self._weights = {kind: (weights or {}).get(kind, 1) for kind in candidates}
        self._pending, self._tried = Counter[str](), Counter[str]()
        self.kept = Counter[str]()
        self.exhausted = set[str]()

    def take(self, size: int) -> list[tuple[str, T]]:
        """Candidates to be tried next, at most ``size``, with their kinds; [] at the end.

        Those that became tasks are to be added to ``kept`` before the next are taken.
        """
        self._pending.clear()
        if self._wanted is not None:
            size = min(size, self._wanted - self.kept.total())
        taken: list[tuple[str, T]] = []
        while len(taken) < size:
            below = [kind for kind in self._active() if self._taken(kind) < self.quota(kind)]
            if not below:
                break
            kind = min(below, key=self._fullness)
            candidate = next(self._candidates[kind], None)
            if candidate is None:
                self.exhausted.add(kind)
                continue
            self._pending[kind] += 1
            self._tried[kind] += 1
            taken.append((kind, candidate))
        return taken

    def quota(self, kind: str) -> float:
        """The most tasks of a kind while others have candidates; infinity if all are wanted."""
        if self._wanted is None:
            return math.inf
        if kind in self.exhausted:
            return self.kept[kind]
        active = self._active()
        left = self._wanted - sum(self._taken(other) for other in self.exhausted)
        share = self._weights[kind] / sum(self._weights[other] for other in active)
        return math.ceil(round(left * share, 6))

    def _fullness(self, kind: str) -> float:
        """The kind where it is least is next: it has few tasks, and was seldom tried."""
        return (self._taken(kind) + 1 + self._tried[kind] / TRIES_OF_A_TASK) / self._weights[kind]

    def _active(self) -> list[str]:
        return [kind for kind in self._candidates if kind not in self.exhausted]

    def _taken(self, kind: str) -> int:
        """Tasks of a kind, and candidates that may become some."""
        return self.kept[kind] + self._pending[kind]
