"""Seeds for engines and servers that take one with each request."""

from __future__ import annotations

from collections.abc import Sequence

from srl_env.seeding import derive_seed


class RequestSeeds:
    """A different seed for each request, in order; handled like a torch generator."""

    def __init__(self, seed: int, purpose: str) -> None:
        """purpose: what the requests are for; other purposes have other seeds."""
        self._seed, self._drawn, self._purpose = seed, 0, purpose

    def manual_seed(self, seed: int) -> None:
        """Begins anew."""
        self._seed, self._drawn = seed, 0

    def get_state(self) -> tuple[int, int]:
        """For ``set_state``."""
        return self._seed, self._drawn

    def set_state(self, state: tuple[int, int]) -> None:
        """Goes back."""
        self._seed, self._drawn = state

    def next_for(self, rows: int, given: Sequence[int]) -> list[int]:
        """A seed of 31 bits for each of so many requests: those given, if there are any."""
        return [seed % 2**31 for seed in given] or [self.next() for _ in range(rows)]

    def next(self) -> int:
        """The next request's seed, 31 bits."""
        self._drawn += 1
        return derive_seed(self._purpose, self._seed, self._drawn) % 2**31
