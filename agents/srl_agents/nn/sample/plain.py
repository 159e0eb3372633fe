"""Sampling with a model's own forward pass and cache, for any architecture.

Prompts of one length are computed together, without padding, so that recurrent and hybrid models
are exact too. Parts of several lengths run side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from srl_agents.nn.sample.engine import Engine, Session
from srl_agents.nn.sample.prefix_cache import Ids
from srl_agents.nn.score import Decoder


class PlainEngine(Engine):
    """The engine of models with a ``PlainDecoder``."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder

    def start(self, prompts: Sequence[Ids], copies: Sequence[int]) -> Session:
        """A session with ``copies[i]`` rows of each distinct prompt, in order."""
        return _Session(self._decoder, prompts, copies)

    def weights_changed(self) -> None:
        """Nothing is kept between calls."""


class _Session(Session):
    """Rows in parts of equal prompt length, each with a cache of its own."""

    def __init__(self, decoder: Decoder, prompts: Sequence[Ids], copies: Sequence[int]) -> None:
        prompt_of = torch.repeat_interleave(torch.arange(len(prompts)), torch.tensor(copies))
        length = torch.tensor([len(prompt) for prompt in prompts])[prompt_of]
        parts = [(length == each).nonzero()[:, 0] for each in torch.unique(length)]
        self._parts = [_Part(decoder, prompts, prompt_of[rows], rows) for rows in parts]
        self._gather(len(prompt_of))

    def step(self, tokens: Tensor) -> None:
        """Append one token to each row and make the next logits."""
        for part in self._parts:
            part.step(tokens)
        self._gather(len(tokens))

    def keep(self, rows: Tensor) -> None:
        """Continue with these rows only."""
        renamed = torch.full((len(self.logits),), -1)
        renamed[rows] = torch.arange(len(rows))
        self._parts = [part for part in self._parts if part.keep(renamed)]
        self.logits = self.logits[rows.to(self.logits.device)]

    def _gather(self, rows: int) -> None:
        first = self._parts[0].logits
        self.logits = first.new_empty(rows, first.shape[1])
        for part in self._parts:
            self.logits[part.rows.to(first.device)] = part.logits


class _Part:
    """Rows whose prompts have one length; ``rows`` are their numbers in the session."""

    def __init__(
        self, decoder: Decoder, prompts: Sequence[Ids], prompt_of: Tensor, rows: Tensor
    ) -> None:
        self._model: Any = decoder.model
        self._cache: Any = None
        self.rows = rows
        distinct, copies = torch.unique(prompt_of, return_inverse=True)
        self._feed(torch.tensor([prompts[i] for i in distinct.tolist()], device=decoder.device))
        self._select(copies.to(decoder.device))

    def step(self, tokens: Tensor) -> None:
        self._feed(tokens[self.rows.to(tokens.device), None])

    def keep(self, renamed: Tensor) -> bool:
        """Drop rows whose new number is -1; whether any is left."""
        kept = (renamed[self.rows] >= 0).nonzero()[:, 0]
        self.rows = renamed[self.rows[kept]]
        if len(kept):
            self._select(kept.to(self.logits.device))
        return len(kept) > 0

    def _feed(self, ids: Tensor) -> None:
        out = self._model(input_ids=ids, past_key_values=self._cache, use_cache=True)
        self._cache = out.past_key_values
        self.logits = out.logits[:, -1].float()

    def _select(self, rows: Tensor) -> None:
        self._cache.reorder_cache(rows)
        self.logits = self.logits[rows]
