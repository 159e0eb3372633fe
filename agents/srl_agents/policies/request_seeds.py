"""Seeds for engines and servers that take one per request."""

from __future__ import annotations

from collections.abc import Sequence

from srl_env.seeding import derive_seed


class RequestSeeds:
    """A different seed for each request, in order, with the interface of a torch generator."""

    def __init__(self, seed: int, purpose: str) -> None:
        """purpose: of the requests; other purposes have other seeds."""
        self._seed, self._drawn, self._purpose = seed, 0, purpose

    def manual_seed(self, seed: int) -> None:
        """Restarts the sequence."""
        self._seed, self._drawn = seed, 0

    def get_state(self) -> tuple[int, int]:
        """The state for ``set_state``."""
        return self._seed, self._drawn

    def set_state(self, state: tuple[int, int]) -> None:
        """Restores a state."""
        self._seed, self._drawn = state

    def next_for(self, rows: int, given: Sequence[int]) -> list[int]:
        """A seed of 31 bits for each request: the given ones, if any."""
        return [seed % 2**31 for seed in given] or [self.next() for _ in range(rows)]

    def next(self) -> int:
        """The next request's seed, 31 bits."""
        self._drawn += 1
        return derive_seed(self._purpose, self._seed, self._drawn) % 2**31
