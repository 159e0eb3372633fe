"""Sampling with a model's own forward pass and cache, for any architecture.

Prompts of one length are computed together, without padding, so that recurrent and hybrid
models come out right as well; sessions of several lengths run side by side.
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
        return PlainSession(self._decoder, prompts, copies)

    def weights_changed(self) -> None:
        """Nothing is kept between calls."""


class PlainSession(Session):
    """Rows in parts of equal prompt length, each with a cache of its own."""

    def __init__(self, decoder: Decoder, prompts: Sequence[Ids], copies: Sequence[int]) -> None:
        by_length: dict[int, list[int]] = {}
        for i, prompt in enumerate(prompts):
            by_length.setdefault(len(prompt), []).append(i)
        repeats = torch.tensor(copies)
        first = repeats.cumsum(0) - repeats
        self._parts = []
        for members in by_length.values():
            rows = torch.cat([first[i] + torch.arange(copies[i]) for i in members])
            part = _Part(
                decoder, [prompts[i] for i in members], repeats[torch.tensor(members)], rows
            )
            self._parts.append(part)
        self._gather(int(repeats.sum()))

    def step(self, tokens: Tensor) -> None:
        """Append one token to each row and make the next logits."""
        for part in self._parts:
            part.step(tokens)
        self._gather(len(tokens))

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows only."""
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
    """Rows whose prompts have the same length; ``rows`` are their numbers in the session."""

    def __init__(
        self, decoder: Decoder, prompts: Sequence[Ids], copies: Tensor, rows: Tensor
    ) -> None:
        self._model: Any = decoder.model
        self.rows = rows
        device = decoder.device
        ids = torch.tensor(prompts, device=device)
        out = self._model(input_ids=ids, use_cache=True)
        self._cache = out.past_key_values
        self.logits = out.logits[:, -1].float()
        self._select(torch.repeat_interleave(torch.arange(len(prompts)), copies).to(device))

    def step(self, tokens: Tensor) -> None:
        mine = tokens[self.rows.to(tokens.device)]
        out = self._model(input_ids=mine[:, None], past_key_values=self._cache, use_cache=True)
        self._cache = out.past_key_values
        self.logits = out.logits[:, -1].float()

    def keep(self, renamed: Tensor) -> bool:
        """Drop rows whose new number is -1; whether any is left."""
        kept = (renamed[self.rows] >= 0).nonzero()[:, 0]
        self.rows = renamed[self.rows[kept]]
        if len(kept):
            self._select(kept.to(self.logits.device))
        return len(kept) > 0

    def _select(self, rows: Tensor) -> None:
        self._cache.reorder_cache(rows)
        self.logits = self.logits[rows]
