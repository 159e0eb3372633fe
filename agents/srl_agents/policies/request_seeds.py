"""Seeds for engines and servers that take one with each request."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from srl_env.seeding import derive_seed


class RequestSeeds:
    """A different seed for each request, in order; handled like a torch generator."""

    def __init__(self, seed: int, purpose: str) -> None:
        """purpose: what the requests are for; other purposes have other seeds."""
        self._seed, self._drawn, self._purpose = seed, 0, purpose
        self._apart = threading.local()

    def manual_seed(self, seed: int) -> None:
        """Begins anew."""
        self._seed, self._drawn = seed, 0

    def get_state(self) -> tuple[int, int]:
        """For ``set_state``."""
        return self._seed, self._drawn

    def set_state(self, state: tuple[int, int]) -> None:
        """Goes back."""
        self._seed, self._drawn = state

    @contextmanager
    def apart(self, seed: int) -> Iterator[None]:
        """Inside, the seeds of this thread are those after ``manual_seed(seed)``, whatever other
        threads draw; those of outside go on afterwards."""
        self._apart.seeds = RequestSeeds(seed, self._purpose)
        try:
            yield
        finally:
            del self._apart.seeds

    def next(self) -> int:
        """The next request's seed, 31 bits."""
        apart: RequestSeeds | None = getattr(self._apart, "seeds", None)
        if apart is not None:
            return apart.next()
        self._drawn += 1
        return derive_seed(self._purpose, self._seed, self._drawn) % 2**31
