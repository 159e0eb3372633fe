"""Where each token of a tree stands while it is computed: index arithmetic only.

Projections, norms, feed-forward and head run on one flat list of the real tokens, prefixes
first, without padding. Attention needs rows: prefix tokens in (P, L), continuation tokens in
slots (R, C, T). Each of the R chunks holds C continuations of one prefix, which share its keys
in one matrix product. The last token of a continuation predicts nothing and is not computed.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from srl_agents.nn.tree import TokenTree

_CHUNK_COST_TOKENS = 16  # the cost of copying a prefix's keys to one more chunk, in tokens


@dataclass(frozen=True, slots=True)
class Layout:
    """Index tensors for N flat tokens, the first ``prefix_tokens`` of them in prefixes.

    ids, positions: (N,).
    previous: (N,) flat index of the token before, -1 if there is none.
    to_prefix: (P*L,) flat index of each cell; from_prefix: (prefix_tokens,) its inverse.
    to_slots: (R*C*T,) index into the flat *continuation* tokens; from_slots: its inverse.
    chunk_prefix: (R,) the prefix of each chunk; slot_start: (R, C) how much of it a slot sees.
    predictor, target: (S,) flat index whose hidden state predicts a scored token, and its id.
    Scored tokens are in the order of ``TokenTree.scored_prefix``, then ``scored_continuation``.
    """

    ids: Tensor
    positions: Tensor
    previous: Tensor
    to_prefix: Tensor
    from_prefix: Tensor
    to_slots: Tensor
    from_slots: Tensor
    chunk_prefix: Tensor
    slot_start: Tensor
    predictor: Tensor
    target: Tensor
    prefix_shape: tuple[int, int]
    slot_shape: tuple[int, int, int]
    prefix_tokens: int
    chunks_are_prefixes: bool

    def to(self, device: torch.device) -> Layout:
        """The same with all index tensors on ``device``."""
        moved: dict[str, Any] = {
            field.name: value.to(device, non_blocking=True)
            for field in fields(self)
            if isinstance(value := getattr(self, field.name), Tensor)
        }
        return replace(self, **moved)


def layout_of(tree: TokenTree) -> Layout:
    """The layout of a tree, on the CPU."""
    (count, length), width = tree.prefix_ids.shape, max(0, tree.continuation_ids.shape[1] - 1)
    real = tree.real_prefix
    fed = torch.arange(width) < tree.continuation_lengths[:, None] - 1  # (B, width)
    prefix_tokens = int(real.sum())
    flat, continuation_flat = _numbered(real, 0), _numbered(fed, prefix_tokens)
    before = F.pad(flat, (1, 0), value=-1)[:, :length]  # (P, L) the token before each
    last_seen = flat[tree.continuation_prefix, tree.continuation_start - 1]  # (B,)
    continuation_before = torch.cat([last_seen[:, None], continuation_flat], 1)
    scored, continuation_scored = tree.scored_prefix, tree.scored_continuation
    chunks = chunked(tree.continuation_prefix, count, width)
    slot_start = torch.ones(chunks.slots, dtype=torch.long)  # an empty slot sees one token
    slot_start[chunks.slot_of] = tree.continuation_start
    to_slots = torch.zeros(chunks.slots, width, dtype=torch.long)
    to_slots[chunks.slot_of] = continuation_flat - prefix_tokens
    cells = chunks.slot_of[:, None] * width + torch.arange(width)  # (B, width)

    def tokens(of_prefix: Tensor, of_continuation: Tensor) -> Tensor:
        return torch.cat([of_prefix[real], of_continuation[:, :width][fed]])

    def scores(of_prefix: Tensor, of_continuation: Tensor) -> Tensor:
        of_continuation = of_continuation[:, : continuation_scored.shape[1]]
        return torch.cat([of_prefix[scored], of_continuation[continuation_scored]])

    return Layout(
        ids=tokens(tree.prefix_ids, tree.continuation_ids),
        positions=tokens(*tree.all_positions()),
        previous=tokens(before, continuation_before),
        to_prefix=flat.flatten(),
        from_prefix=real.flatten().nonzero()[:, 0],
        to_slots=to_slots.flatten(),
        from_slots=cells[fed],
        chunk_prefix=chunks.prefix,
        slot_start=slot_start.view(-1, chunks.size),
        predictor=scores(before, continuation_before),
        target=scores(tree.prefix_ids, tree.continuation_ids),
        prefix_shape=(count, length),
        slot_shape=(len(chunks.prefix), chunks.size, width),
        prefix_tokens=prefix_tokens,
        chunks_are_prefixes=torch.equal(chunks.prefix, torch.arange(count)),
    )


def _numbered(real: Tensor, first: int) -> Tensor:
    """Cells (N, M) numbered from ``first`` in reading order; padding gets ``first``."""
    numbers = real.flatten().cumsum(0).view(real.shape) - 1 + first
    return torch.where(real, numbers, first)


@dataclass(frozen=True, slots=True)
class Chunks:
    """Continuations in R chunks of ``size`` slots, each chunk for one prefix.

    prefix: (R,); slot_of: (B,) the slot of each continuation, of all R * size.
    """

    prefix: Tensor
    slot_of: Tensor
    size: int

    @property
    def slots(self) -> int:
        """R * size, empty slots included."""
        return len(self.prefix) * self.size


def chunked(prefix_of: Tensor, prefixes: int, width: int) -> Chunks:
    """Continuations (B,), by their prefix, put into chunks; ``width`` tokens each."""
    counts = torch.bincount(prefix_of, minlength=prefixes)  # (P,)
    size = _chunk_size(counts, width)
    chunks = (counts + size - 1) // size
    order = torch.argsort(prefix_of, stable=True)
    rank = torch.empty_like(prefix_of)
    rank[order] = torch.arange(len(prefix_of)) - (counts.cumsum(0) - counts)[prefix_of[order]]
    first_slot = (chunks.cumsum(0) - chunks) * size
    return Chunks(
        prefix=torch.repeat_interleave(torch.arange(prefixes), chunks),
        slot_of=first_slot[prefix_of] + rank,
        size=size,
    )


def _chunk_size(counts: Tensor, width: int) -> int:
    """How many continuations share a chunk: the size with the least padding and key copies."""
    sizes = torch.unique(counts[counts > 0])
    if not len(sizes):
        return 1
    chunks = ((counts[:, None] + sizes - 1) // sizes).sum(0)  # (sizes,)
    cost = chunks * (sizes * width + _CHUNK_COST_TOKENS)
    return int(sizes[cost.argmin()])
