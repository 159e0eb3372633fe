"""Orders to work in."""

from __future__ import annotations

import heapq
from collections.abc import Callable

from taskweave.errors import CycleFound
from taskweave.graph import Graph


def sort_tasks(graph: Graph, key: Callable[[str], object] | None = None) -> list[str]:
    """All names, each after what it needs; of several possible ones the smallest key is first.

    The name itself is the key where none is given, and decides between equal ones.
    Raises CycleFound.
    """
    missing = {name: len(graph.needs(name)) for name in graph.names()}
    heap = [(_rank(name, key), name) for name, count in missing.items() if count == 0]
    heapq.heapify(heap)
    ordered: list[str] = []
    while heap:
        _, name = heapq.heappop(heap)
        ordered.append(name)
        for other in graph.needed_by(name):
            missing[other] -= 1
            if missing[other] == 0:
                heapq.heappush(heap, (_rank(other, key), other))
    if len(ordered) < len(missing):
        raise CycleFound(find_cycle(graph) or [])
    return ordered


def levels(graph: Graph) -> list[list[str]]:
    """The names in levels: each needs something of the level before, and nothing of later ones.

    Raises CycleFound.
    """
    level_of: dict[str, int] = {}
    for name in sort_tasks(graph):
        level_of[name] = max((level_of[other] + 1 for other in graph.needs(name)), default=0)
    count = max(level_of.values(), default=-1) + 1
    grouped: list[list[str]] = [[] for _ in range(count)]
    for name in graph.names():
        grouped[level_of[name]].append(name)
    return grouped


def find_cycle(graph: Graph) -> list[str] | None:
    """A cycle, from its smallest name back to it along what needs what; None without one."""
    done: set[str] = set()
    for start in graph.names():
        cycle = _search(graph, start, [], done)
        if cycle is not None:
            smallest = cycle.index(min(cycle))
            turned = cycle[smallest:] + cycle[:smallest]
            return [*turned, turned[0]]
    return None


def is_valid_order(graph: Graph, names: list[str]) -> bool:
    """Whether a list holds every name once, each after what it needs."""
    if sorted(names) != graph.names():
        return False
    place = {name: index for index, name in enumerate(names)}
    return all(place[needed] < place[name] for name, needed in graph.edges())


def longest_chain(graph: Graph) -> list[str]:
    """The most names of which each needs the one before; the first by name of equal chains.

    Raises CycleFound.
    """
    chains: dict[str, list[str]] = {}
    for name in sort_tasks(graph):
        before = [chains[needed] for needed in graph.needs(name)]
        best = min(before, key=lambda chain: (-len(chain), chain), default=[])
        chains[name] = [*best, name]
    return min(chains.values(), key=lambda chain: (-len(chain), chain), default=[])


def _rank(name: str, key: Callable[[str], object] | None) -> object:
    return name if key is None else key(name)


def _search(graph: Graph, name: str, path: list[str], done: set[str]) -> list[str] | None:
    """The cycle that a way down from a name runs into."""
    if name in path:
        return path[path.index(name) :]
    if name in done:
        return None
    for needed in graph.needs(name):
        cycle = _search(graph, needed, [*path, name], done)
        if cycle is not None:
            return cycle
    done.add(name)
    return None
