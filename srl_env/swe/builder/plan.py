"""Which bugs are tried, in which order, and the split of each function.

All of it depends only on the repository's text and the seed.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from typing import Final

from srl_env.seeding import stream
from srl_env.swe.builder.mutation import Mutation, mutations
from srl_env.swe.builder.project import Project, Target

MAX_TRIES: Final = 40
SPLIT_ENDS: Final = (("train", 0.7), ("dev", 0.8), ("test", 1.0))


@dataclass(frozen=True, slots=True)
class Candidate:
    """Bugs to be tried together, each with its function; all of one split.

    fails_with: names of the exceptions with which tests must fail; () for any. example: a script
    that may show the bug, "" without one. A model states both.
    """

    bugs: tuple[Mutation, ...]
    targets: tuple[Target, ...]
    split: str
    fails_with: tuple[str, ...] = ()
    example: str = ""

    @property
    def key(self) -> str:
        """A name that is the same in every build of the same text."""
        return " + ".join(bug.key for bug in self.bugs)

    @property
    def id(self) -> str:
        """A short form of the key."""
        return hashlib.sha256(self.key.encode()).hexdigest()[:10]

    @property
    def functions(self) -> tuple[str, ...]:
        """The ids of the functions."""
        return tuple(target.id for target in self.targets)

    @property
    def changed(self) -> tuple[str, ...]:
        """The ids of the functions, and of all others that are changed."""
        parts = (part for bug in self.bugs for part in bug.parts)
        return tuple(dict.fromkeys(f"{part.path}:{part.function}" for part in parts))


def split_of(repository: str, function: str) -> str:
    """The split of a function, by the hash of its name.

    About 70 % are train, 10 % dev, 20 % test. The functions of one task are of one split, that of
    the first; with ``fill_splits``, no split is empty.
    """
    digest = hashlib.sha256(f"{repository}:{function}".encode()).digest()
    fraction = int.from_bytes(digest[:8], "big") / 2**64
    return next(name for name, end in SPLIT_ENDS if fraction < end)


def joined(tasks: Iterable[Sequence[str]]) -> dict[str, str]:
    """{function: the name of its group}. Functions of the same task are of the same group."""
    groups: dict[str, set[str]] = {}
    for names in tasks:
        group = set(names).union(*(groups[name] for name in names if name in groups))
        groups |= dict.fromkeys(group, group)
    return {name: min(group) for name, group in groups.items()}


def fill_splits(repository: str, splits: Mapping[str, str]) -> dict[str, str]:
    """The functions' splits, with functions moved into empty splits.

    splits: {function, or group of functions: its split}, of those that have tasks. With three or
    more, no split is empty; fewer keep their splits. An empty split gets one function of
    the largest: the one whose hash with the split's name is least. So a function that is added
    later changes at most the moved ones.
    """
    found = dict(splits)
    for empty in ("train", "test", "dev"):
        counts = Counter(found.values())
        if counts[empty] or len(found) < 3:
            continue
        largest = max(("train", "test", "dev"), key=lambda name: counts[name])
        moved = min(
            (name for name, split in found.items() if split == largest),
            key=lambda name: hashlib.sha256(f"{empty}:{repository}:{name}".encode()).digest(),
        )
        found[moved] = empty
    return found


def single_bugs(project: Project, seed: int) -> dict[str, list[Candidate]]:
    """Candidates of one bug by kind, at most MAX_TRIES of a function.

    Kinds are in a random order, and those of each kind go through the functions in turn.
    """
    kinds: dict[str, list[tuple[int, float, Candidate]]] = {}
    rng = stream("turn", project.name, seed)
    for target in project.targets:
        split = split_of(project.name, target.id)
        turns = Counter[str]()
        for bug in _bugs(project, target, seed):
            candidate = Candidate((bug,), (target,), split)
            kinds.setdefault(bug.kind, []).append((turns[bug.kind], rng.random(), candidate))
            turns[bug.kind] += 1
    names = sorted(kinds)
    return {
        names[number]: [each[-1] for each in sorted(kinds[names[number]], key=lambda row: row[:2])]
        for number in rng.permutation(len(names))
    }


def several_bugs(
    project: Project, kept: Sequence[Candidate], max_bugs: int, seed: int
) -> Iterator[Candidate]:
    """Candidates of 2 … max_bugs of the kept bugs of one function each, all of one split."""
    kept = [candidate for candidate in kept if len(candidate.changed) == 1]
    rng = stream("several", project.name, seed)
    seen: set[frozenset[str]] = set()
    for _ in range(20 * len(kept)):
        first = kept[int(rng.integers(len(kept)))]
        size = int(rng.integers(2, max_bugs + 1))
        others = [candidate for candidate in kept if candidate.split == first.split]
        chosen = {first.functions: first}
        for number in rng.permutation(len(others)):
            if len(chosen) < size:
                chosen.setdefault(others[number].functions, others[number])
        members = [chosen[name] for name in sorted(chosen)]
        names = frozenset(member.key for member in members)
        if len(members) == size and names not in seen:
            seen.add(names)
            bugs, targets = zip(*((m.bugs[0], m.targets[0]) for m in members), strict=True)
            yield Candidate(bugs, targets, first.split)


def difficulty(*, bugs: int, hops: int, failing: int, lines: int, raises: bool) -> float:
    """An estimate of how hard a task is, in 0 … 1.

    bugs: their number; hops: calls from the statement's example to the bug (the longest path);
    failing: tests that fail; lines: of the longest buggy function; raises: whether the example
    ends in an exception that the correct code does not raise.

    0.30·min(bugs−1, 2)/2 + 0.25·min(hops, 4)/4 + 0.15·min(lines, 60)/60 + 0.15·1/failing
    + 0.15·(0 if raises else 1). Hard are several silent bugs, far from the example, in long
    functions, noticed by few tests.
    """
    value = 0.30 * min(bugs - 1, 2) / 2 + 0.25 * min(hops, 4) / 4 + 0.15 * min(lines, 60) / 60
    return round(value + 0.15 / failing + (0.0 if raises else 0.15), 3)


def _bugs(project: Project, target: Target, seed: int) -> list[Mutation]:
    """At most MAX_TRIES bugs of a function: kinds in turn, those of each in a random order."""
    kinds: dict[str, list[Mutation]] = {}
    for bug in mutations(project.sources[target.path], target.function):
        kinds.setdefault(bug.kind, []).append(bug)
    rng = stream("bugs", project.name, target.id, seed)
    mixed = [
        [bugs[number] for number in rng.permutation(len(bugs))] for _, bugs in sorted(kinds.items())
    ]
    turns = (bug for turn in zip_longest(*mixed) for bug in turn if bug is not None)
    return list(islice(turns, MAX_TRIES))
