"""Problems that are asked for again and again, made or read once.

A group of copies, and the later steps of a solution, take the same problem many times; for a
generated or a file-backed source each time costs as much as the first.
"""

from __future__ import annotations

from collections import OrderedDict

from srl_env.problem import Problem, ProblemSource


class CachedSource:
    """A source that remembers the problems it gave last."""

    def __init__(self, source: ProblemSource, size: int = 4096) -> None:
        """size: how many problems are kept."""
        self.source, self.size = source, size
        self._kept: OrderedDict[int, Problem] = OrderedDict()

    @property
    def name(self) -> str:
        """The source's own: seeds do not notice the cache."""
        return self.source.name

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Problem:
        if index in self._kept:
            self._kept.move_to_end(index)
            return self._kept[index]
        problem = self._kept[index] = self.source[index]
        if len(self._kept) > self.size:
            self._kept.popitem(last=False)
        return problem

    def index_of(self, problem_id: str) -> int:
        """As the source's."""
        return self.source.index_of(problem_id)
