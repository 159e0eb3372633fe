"""What the sampling loop needs of a model: prompts in, next-token logits out, step by step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor

from srl_agents.nn.sample.prefix_cache import Ids


class Session(ABC):
    """Completions under way: one row each.

    logits: (rows, V) in fp32, for each row's next token.
    """

    logits: Tensor

    @abstractmethod
    def step(self, tokens: Tensor) -> None:
        """Append one token to each row, (rows,), and make the next logits."""

    @abstractmethod
    def keep(self, rows: Tensor) -> None:
        """Go on with these rows only; ``rows`` (kept,) are indices on the CPU, ascending."""


class Engine(ABC):
    """A model that can start sessions."""

    @abstractmethod
    def start(self, prompts: Sequence[Ids], copies: Sequence[int]) -> Session:
        """A session with ``copies[i]`` rows of each distinct prompt, in order."""

    @abstractmethod
    def weights_changed(self) -> None:
        """Forget whatever was computed with earlier weights."""
