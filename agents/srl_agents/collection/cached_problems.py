"""A cache of problems.

The copies of a group, and the later steps of a solution, take the same problem many times. A
generated or file-backed source would make or read it each time.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from srl_env.problem import Problem, ProblemSource


class CachedSource:
    """A source that keeps the ``size`` problems that were used last. Threads may share it."""

    def __init__(self, source: ProblemSource, size: int = 4096) -> None:
        self.source, self.size = source, size
        self._kept: OrderedDict[int, Problem] = OrderedDict()
        self._lock = threading.RLock()

    @property
    def name(self) -> str:
        """The source's own name, so that seeds do not depend on the cache."""
        return self.source.name

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Problem:
        with self._lock:
            if index in self._kept:
                self._kept.move_to_end(index)
                return self._kept[index]
            problem = self._kept[index] = self.source[index]
            if len(self._kept) > self.size:
                self._kept.popitem(last=False)
            return problem

    def index_of(self, problem_id: str) -> int:
        """As the source's."""
        with self._lock:
            return self.source.index_of(problem_id)
