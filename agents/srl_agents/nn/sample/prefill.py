"""Computes prompts, each from where an earlier one's keys and values end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from srl_agents.nn.network import Attention, Network
from srl_agents.nn.sample.prefix_cache import CachedPrefix, Ids, Prefilled


def prefill(
    network: Network,
    prefixes: Sequence[Ids],
    known: Sequence[CachedPrefix | None],
    device: torch.device,
) -> tuple[Prefilled, Tensor]:
    """The computed prefixes, and the hidden states (P, width, hidden) of their new tokens.

    known: what is already computed of each prefix; the new tokens come after it. Hidden states
    mean nothing in the padding.
    """
    pass_ = _Pass(prefixes, known, device)
    hidden = network.embed(pass_.ids)
    turns = network.turns(hidden, pass_.at)
    hidden = network.run(hidden, turns, [pass_] * len(network.layers))
    return Prefilled(tuple(prefixes), tuple(pass_.layers)), pass_.padded(hidden)


class _Pass:
    """What the new tokens of P prefixes see, and what every layer leaves behind.

    ids, row, at: (N,) token id, prefix and position of each new token. cell: (N,) its place in
    (P, width); flat: (P * width,) the inverse, any token in the padding.
    """

    def __init__(
        self,
        prefixes: Sequence[Ids],
        known: Sequence[CachedPrefix | None],
        device: torch.device,
    ) -> None:
        start = [0 if prefix is None else prefix.length for prefix in known]
        fresh = [ids[begin:] for ids, begin in zip(prefixes, start, strict=True)]
        counts = torch.tensor([len(ids) for ids in fresh])
        row = torch.repeat_interleave(torch.arange(len(fresh)), counts)
        offset = torch.arange(len(row)) - (counts.cumsum(0) - counts)[row]
        self.known, self.rows, self.width = known, len(fresh), int(counts.max())
        self.length = max(map(len, prefixes))
        self.from_beginning = not any(start)
        cell = row * self.width + offset
        flat = torch.zeros(self.rows * self.width, dtype=torch.long)
        flat[cell] = torch.arange(len(row))
        self.ids = torch.tensor([token for ids in fresh for token in ids], device=device)
        self.start = torch.tensor(start).to(device)
        self.row, self.cell, self.flat = row.to(device), cell.to(device), flat.to(device)
        self.at = self.start[self.row] + offset.to(device)
        self.layers: list[tuple[Tensor, ...]] = []
        self._sources = list(self._find_sources(device))

    def padded(self, flat: Tensor) -> Tensor:
        """(P, width, ...) of (N, ...)."""
        return flat[self.flat].view(self.rows, self.width, *flat.shape[1:])

    def attend(self, attention: Attention, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Each token sees its prefix up to itself; see ``AttentionContext``."""
        keys, values = self._filled(0, key), self._filled(1, value)
        self.layers.append((keys, values))
        plain = self.from_beginning and attention.window is None
        mixed = attention.attended(
            self.padded(query).transpose(1, 2),
            keys.transpose(0, 1),
            values.transpose(0, 1),
            None if plain else self._mask(attention.window),
        )
        return mixed.transpose(1, 2).reshape(self.rows * self.width, -1)[self.cell]

    def earlier(self, inputs: Tensor, count: int) -> Iterator[Tensor]:
        """The inputs of the tokens before each, nearest first; see ``ConvContext``."""
        held = self._filled(0, inputs[:, None])
        self.layers.append((held,))
        for back in range(1, count + 1):
            yield inputs_at(held, self.row, self.at - back)

    def _filled(self, which: int, fresh: Tensor) -> Tensor:
        """(heads, P, L, d): what is known of the next layer, and the new tokens' (N, heads, d)."""
        buffer = fresh.new_zeros(fresh.shape[1], self.rows, self.length, fresh.shape[2])
        for source, here, there in self._sources:
            held = source.layers[len(self.layers)][which]
            width = min(held.shape[2], self.length)
            buffer[:, here, :width] = held[:, there, :width]
        buffer[:, self.row, self.at] = fresh.transpose(0, 1)
        return buffer

    def _find_sources(self, device: torch.device) -> Iterator[tuple[Prefilled, Tensor, Tensor]]:
        """Where known beginnings come from: source, rows here, rows there."""
        for source in {
            id(prefix.source): prefix.source for prefix in self.known if prefix
        }.values():
            rows = [
                (row, prefix.row)
                for row, prefix in enumerate(self.known)
                if prefix and prefix.source is source
            ]
            here, there = torch.tensor(rows, device=device).t()
            yield source, here, there

    def _mask(self, window: int | None) -> Tensor:
        """(P, 1, width, L) bool, which keys each query sees."""
        at = torch.arange(self.length, device=self.at.device)
        query_at = self.start[:, None, None] + at[: self.width, None]
        seen = at <= query_at
        if window is not None:
            seen &= at > query_at - window
        return seen[:, None]


def inputs_at(held: Tensor, row: Tensor, at: Tensor) -> Tensor:
    """(N, hidden) of a convolution's inputs (1, P, L, hidden), 0 before the beginning."""
    return held[0, row, at.clamp(min=0)] * (at >= 0)[:, None]
