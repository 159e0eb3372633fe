"""The split that a problem belongs to, which depends on its id alone.

So a problem stays in its split when rows are added, removed or shuffled, and two splits never
share a problem.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping

from srl_env.errors import BadOption
from srl_env.problem import Problem

FRACTIONS: Mapping[str, float] = {"train": 0.9, "dev": 0.05, "test": 0.05}
QUARTERS: Mapping[str, float] = {"train": 0.5, "dev": 0.25, "test": 0.25}
"""For generators that draw until an item is in the split: four draws on average."""


def split_of(problem_id: str, fractions: Mapping[str, float] = FRACTIONS) -> str:
    """The name of the split that a problem belongs to.

    fractions: the splits in order, and how much of the data each one gets. They sum to 1.
    """
    check_fractions(fractions)
    place = text_hash(f"split\0{problem_id}") / 2**64
    for name, fraction in fractions.items():
        if place < fraction:
            return name
        place -= fraction
    return next(reversed(list(fractions)))


def split_key(problem: Problem) -> str:
    """The text whose hash decides the split of a problem from a file.

    That is its id, or its ``metadata["instance_id"]``: two trajectories of one instance stay in
    one split.
    """
    return str(problem.metadata.get("instance_id", problem.id))


def check_fractions(fractions: Mapping[str, float]) -> None:
    """Raises ``BadOption`` for fractions that are negative or do not sum to 1."""
    if not math.isclose(sum(fractions.values()), 1.0) or min(fractions.values()) < 0:
        raise BadOption(f"fractions must not be negative and sum to 1; got {dict(fractions)}")


def text_hash(text: str) -> int:
    """A hash of 64 bits, the same in every process and on every machine."""
    data = text.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")
