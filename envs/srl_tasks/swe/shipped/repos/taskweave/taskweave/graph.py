"""What needs what."""

from __future__ import annotations

from collections.abc import Iterable

from taskweave.errors import CycleFound, UnknownTask


class Graph:
    """Names, and for each the names that it needs."""

    def __init__(self) -> None:
        self._needs: dict[str, set[str]] = {}

    @classmethod
    def of(cls, edges: Iterable[tuple[str, str]], alone: Iterable[str] = ()) -> Graph:
        """A graph of pairs (name, what it needs), and names that need nothing."""
        graph = cls()
        for name in alone:
            graph.add(name)
        for name, needed in edges:
            graph.add(name)
            graph.add(needed)
            graph.connect(name, needed)
        return graph

    def add(self, name: str) -> None:
        """Adds a name; nothing happens for one that is there."""
        self._needs.setdefault(name, set())

    def connect(self, name: str, needed: str) -> None:
        """Says that one needs another. Raises UnknownTask; CycleFound for one that needs itself."""
        self._check(name)
        self._check(needed)
        if name == needed:
            raise CycleFound([name, name])
        self._needs[name].add(needed)

    def disconnect(self, name: str, needed: str) -> bool:
        """Takes a need back; whether there was one."""
        self._check(name)
        if needed not in self._needs[name]:
            return False
        self._needs[name].remove(needed)
        return True

    def remove(self, name: str) -> None:
        """Removes a name; those that needed it then need what it needed. Raises UnknownTask."""
        needed = set(self.needs(name))
        for other in self.needed_by(name):
            self._needs[other].remove(name)
            self._needs[other] |= needed - {other}
        del self._needs[name]

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self._needs)

    def edges(self) -> list[tuple[str, str]]:
        """All pairs (name, what it needs), sorted."""
        return [(name, needed) for name in self.names() for needed in self.needs(name)]

    def needs(self, name: str) -> list[str]:
        """What one needs itself, sorted. Raises UnknownTask."""
        self._check(name)
        return sorted(self._needs[name])

    def needed_by(self, name: str) -> list[str]:
        """What needs it itself, sorted. Raises UnknownTask."""
        self._check(name)
        return [other for other in self.names() if name in self._needs[other]]

    def all_needs(self, name: str) -> set[str]:
        """What one needs, directly or not; not itself, unless there is a cycle."""
        found: set[str] = set()
        waiting = self.needs(name)
        while waiting:
            current = waiting.pop()
            if current not in found:
                found.add(current)
                waiting += self.needs(current)
        return found

    def all_needed_by(self, name: str) -> set[str]:
        """What needs it, directly or not."""
        return {other for other in self.names() if name in self.all_needs(other)}

    def roots(self) -> list[str]:
        """The names that need nothing."""
        return [name for name in self.names() if not self._needs[name]]

    def leaves(self) -> list[str]:
        """The names that nothing needs."""
        return [name for name in self.names() if not self.needed_by(name)]

    def reduced(self) -> Graph:
        """The same without needs that follow from others. There must be no cycle."""
        graph = Graph.of([], self.names())
        for name, needed in self.edges():
            others = [other for other in self.needs(name) if other != needed]
            if not any(needed in self.all_needs(other) for other in others):
                graph.connect(name, needed)
        return graph

    def components(self) -> list[list[str]]:
        """The names in groups that have nothing to do with one another, the largest first."""
        left = set(self._needs)
        groups = []
        for start in self.names():
            if start in left:
                group = self._component(start)
                left -= group
                groups.append(sorted(group))
        return sorted(groups, key=lambda group: (-len(group), group))

    def subset(self, names: Iterable[str]) -> Graph:
        """The graph of some of the names, with the needs between them. Raises UnknownTask."""
        kept = set(names)
        for name in kept:
            self._check(name)
        edges = [(name, needed) for name, needed in self.edges() if {name, needed} <= kept]
        return Graph.of(edges, kept)

    def _component(self, start: str) -> set[str]:
        found: set[str] = set()
        waiting = [start]
        while waiting:
            current = waiting.pop()
            if current not in found:
                found.add(current)
                waiting += self.needs(current) + self.needed_by(current)
        return found

    def _check(self, name: str) -> None:
        if name not in self._needs:
            raise UnknownTask(name)
