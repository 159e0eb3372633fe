"""Which bugs are tried, in which order, and to which split each function belongs.

Everything follows from the repository's text and the seed.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final

import numpy as np

from srl_env.seeding import stream
from srl_env.swe.builder.mutation import Mutation, mutations
from srl_env.swe.builder.project import Project, Target

MAX_TRIES: Final = 40
SHARES: Final = (("train", 0.7), ("dev", 0.8), ("test", 1.0))


@dataclass(frozen=True, slots=True)
class Candidate:
    """Bugs to be tried together, each with the function it is in; all of one split."""

    bugs: tuple[Mutation, ...]
    targets: tuple[Target, ...]
    split: str

    @property
    def key(self) -> str:
        """A name that is the same in every build of the same text."""
        return " + ".join(bug.key for bug in self.bugs)

    @property
    def id(self) -> str:
        """A short form of the key."""
        return hashlib.sha256(self.key.encode()).hexdigest()[:10]


def split_of(repository: str, function: str) -> str:
    """The split of a function, by hashing its name: no function is in two.

    About 70 % are train, 10 % dev, 20 % test; ``fill_splits`` sees to those that stay empty.
    """
    digest = hashlib.sha256(f"{repository}:{function}".encode()).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    return next(name for name, upto in SHARES if share < upto)


def fill_splits(repository: str, splits: Mapping[str, str]) -> dict[str, str]:
    """The functions' splits, with functions moved into those that would be empty.

    splits: {function: its split by ``split_of``}, of the functions that tasks were made of. With
    three or more, no split is empty; with fewer they stay as they are, so that a task may have
    bugs in both. An empty split gets one function of the largest: the one whose hash with the
    split's name is least. So a function that is added later changes at most the moved ones.
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


def single_bugs(project: Project, seed: int) -> Iterator[Candidate]:
    """Candidates of one bug: in turn one for each function, kinds mixed, at most MAX_TRIES each."""
    targets = {target.id: target for target in project.targets}
    piles = {name: _piles(project, target, seed) for name, target in targets.items()}
    offered = Counter(kind for kinds in piles.values() for kind in kinds)
    queues = {
        name: _queue(kinds, offered, project.name, name, seed) for name, kinds in piles.items()
    }
    for turn in count():
        left = [name for name, queue in queues.items() if turn < min(len(queue), MAX_TRIES)]
        if not left:
            return
        for number in stream("turn", project.name, seed, turn).permutation(len(left)):
            name = left[int(number)]
            bug = queues[name][turn]
            yield Candidate((bug,), (targets[name],), split_of(project.name, name))


def several_bugs(
    project: Project, kept: Sequence[Candidate], max_bugs: int, seed: int
) -> Iterator[Candidate]:
    """Candidates of 2 … max_bugs of the bugs kept, in different functions of one split."""
    rng = stream("several", project.name, seed)
    by_split: dict[str, list[Candidate]] = {}
    for candidate in kept:
        by_split.setdefault(candidate.split, []).append(candidate)
    seen: set[frozenset[str]] = set()
    for _ in range(20 * len(kept)):
        first = kept[int(rng.integers(len(kept)))]
        size = int(rng.integers(2, max_bugs + 1))
        others = by_split[first.split]
        chosen = {first.targets[0].id: first}
        for number in rng.permutation(len(others)):
            if len(chosen) == size:
                break
            chosen.setdefault(others[int(number)].targets[0].id, others[int(number)])
        members = [chosen[name] for name in sorted(chosen)]
        names = frozenset(member.key for member in members)
        if len(members) == size and names not in seen:
            seen.add(names)
            yield Candidate(
                tuple(member.bugs[0] for member in members),
                tuple(member.targets[0] for member in members),
                first.split,
            )


def difficulty(*, bugs: int, hops: int, failing: int, lines: int, raises: bool) -> float:
    """How hard a task is guessed to be, in 0 … 1.

    bugs: how many there are; hops: calls from the statement's example to the fault (the longest
    way); failing: tests that fail; lines: of the longest faulty function; raises: whether the
    example ends in an exception that the right code does not raise.

    0.30·min(bugs−1, 2)/2 + 0.25·min(hops, 4)/4 + 0.15·min(lines, 60)/60 + 0.15·1/failing
    + 0.15·(0 if raises else 1): several faults, far from where they show, in long functions,
    noticed by few tests, wrong in silence.
    """
    value = 0.30 * min(bugs - 1, 2) / 2 + 0.25 * min(hops, 4) / 4 + 0.15 * min(lines, 60) / 60
    return round(value + 0.15 / failing + (0.0 if raises else 0.15), 3)


def _piles(project: Project, target: Target, seed: int) -> dict[str, list[Mutation]]:
    """A function's bugs by kind, each pile in a random order."""
    kinds: dict[str, list[Mutation]] = {}
    for bug in mutations(project.sources[target.path], target.function):
        kinds.setdefault(bug.kind, []).append(bug)
    rng = stream("bugs", project.name, target.id, seed)
    return {kind: _shuffled(pile, rng) for kind, pile in sorted(kinds.items())}


def _queue(
    piles: Mapping[str, Sequence[Mutation]],
    offered: Mapping[str, int],
    repository: str,
    function: str,
    seed: int,
) -> list[Mutation]:
    """A function's bugs in the order they are tried: kinds in turn, in a random order.

    offered: how many functions have bugs of a kind. What few have tends to come sooner, or else
    most tasks would be of the few kinds that every function has.
    """
    rng = stream("kinds", repository, function, seed)
    places = {kind: rng.exponential() * offered[kind] for kind in piles}
    ordered = [piles[kind] for kind in sorted(piles, key=lambda kind: places[kind])]
    longest = max(map(len, ordered), default=0)
    return [pile[turn] for turn in range(longest) for pile in ordered if turn < len(pile)]


def _shuffled(pile: Sequence[Mutation], rng: np.random.Generator) -> list[Mutation]:
    return [pile[int(number)] for number in rng.permutation(len(pile))]
