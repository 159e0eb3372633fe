"""Which part of a data set a problem is in: decided by its id alone.

So a problem stays in its part when rows are added, removed or shuffled, and two parts never
share a problem.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping

from srl_env.errors import BadOption

SHARES: Mapping[str, float] = {"train": 0.9, "dev": 0.05, "test": 0.05}
QUARTERS: Mapping[str, float] = {"train": 0.5, "dev": 0.25, "test": 0.25}
"""For generators that draw until an item is in the split, four items on average."""


def split_of(problem_id: str, shares: Mapping[str, float] = SHARES) -> str:
    """The name of the part that a problem is in.

    shares: the parts and how much of the data each gets, in order; together 1.
    """
    if not math.isclose(sum(shares.values()), 1.0) or min(shares.values()) < 0:
        raise BadOption(f"shares are not negative and sum to 1; got {dict(shares)}")
    data = b"split\0" + problem_id.encode("utf-8", "surrogatepass")
    place = int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big") / 2**64
    for name, share in shares.items():
        if place < share:
            return name
        place -= share
    return next(reversed(list(shares)))
