"""A policy whose weights are replaced while it samples, and that says which ones it used."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from srl_env.errors import Failure
from srl_env.policy import Generation, Policy, Sampling
from srl_env.text.prompt import Messages

if TYPE_CHECKING:
    from torch import nn

    Offered = Callable[[nn.Module, int], "Weights"]
    """The model's weights as they are now, for samplers that load them later; and their version."""


@dataclass(frozen=True, slots=True)
class Weights:
    """A version of the trained weights. load: puts them into a policy."""

    version: int
    load: Callable[[Any], None]


class Versioned:
    """Samples with the last weights that were offered; each completion carries their version.

    Offering never waits. New weights are loaded before the next job begins, once the jobs that run
    have ended, so that each episode is of one version. With ``continues`` they are loaded before
    the next request, and long episodes continue under them. Jobs in several threads may share one.
    """

    def __init__(self, policy: Policy, continues: bool = False) -> None:
        """A policy with ``concurrent`` takes requests of several threads at once; others in turn.

        continues: whether episodes continue under new weights.
        """
        self.policy: Any = policy
        self.continues = continues
        self.version: int | None = None
        self._offered: Weights | None = None
        self._running = 0
        self._changed = threading.Condition()
        one_at_a_time = not getattr(policy, "concurrent", False)
        self._turn: AbstractContextManager[Any] = (
            threading.Lock() if one_at_a_time else nullcontext()
        )

    @property
    def native_tools(self) -> bool:
        """Whether the policy takes tools."""
        return getattr(self.policy, "native_tools", False)

    def offer(self, weights: Weights) -> None:
        """Notes the weights to load next; later ones replace them."""
        self._offered = weights  # without the lock, which is held while others are loaded

    @contextmanager
    def job(self) -> Iterator[None]:
        """What runs a job holds this meanwhile."""
        with self._changed:
            if not self.continues:  # else before each request, in turn with other requests
                self._changed.wait_for(lambda: not self._new or not self._running)
                self._load()
            self._running += 1
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def generate(self, batch: Sequence[Messages], sampling: Sampling) -> list[Generation | Failure]:
        """As the policy's. A version is that of the weights when the request began."""
        with self._turn:
            if self.continues:
                with self._changed:
                    self._load()
            version = self.version
            made = self.policy.generate(batch, sampling)
        return [
            replace(one, version=version) if isinstance(one, Generation) else one for one in made
        ]

    def forget(self) -> None:
        """The weights are to be loaded again, as after a server was started again."""
        with self._changed:
            self.version = None

    def close(self) -> None:
        """Closes the policy, once, if it can be closed."""
        policy, self.policy = self.policy, None
        if hasattr(policy, "close"):
            policy.close()

    @property
    def _new(self) -> bool:
        return self._offered is not None and self._offered.version != self.version

    def _load(self) -> None:
        if self._offered is not None and self._new:
            self._offered.load(self.policy)
            self.version = self._offered.version
