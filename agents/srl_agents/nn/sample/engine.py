"""The interface of models for the sampling loop: prompts in, next-token logits out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor

from srl_agents.nn.sample.prefix_cache import Ids


class Session(ABC):
    """Completions in progress: one row each.

    logits: (rows, V) in fp32, for each row's next token.
    """

    logits: Tensor

    @abstractmethod
    def step(self, tokens: Tensor) -> None:
        """Append one token to each row, (rows,), and make the next logits."""

    @abstractmethod
    def keep(self, rows: Tensor) -> None:
        """Continue with these rows only; ``rows`` (kept,) are ascending indices on the CPU."""


class Engine(ABC):
    """A model that can start sessions."""

    @abstractmethod
    def start(self, prompts: Sequence[Ids], copies: Sequence[int]) -> Session:
        """A session with ``copies[i]`` rows of each distinct prompt, in order."""

    @abstractmethod
    def weights_changed(self) -> None:
        """Forget what was computed with earlier weights."""
