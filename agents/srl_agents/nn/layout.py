"""Where each token of a tree goes while it is computed: pure index arithmetic.

Everything that works token by token (projections, norms, feed-forward, head) runs on one
flat list of the real tokens, prefixes first, without padding. Attention needs rows: prefix
tokens are gathered into (P, L), continuation tokens into slots (R, C, T), where each of the R
chunks holds C continuations of the same prefix, so that one matrix product shares the prefix's
keys among them.

The last token of a continuation predicts nothing and is not computed.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from srl_agents.nn.tree import TokenTree

_CHUNK_COST_TOKENS = 16  # copying a prefix's keys to one more chunk costs about so many tokens


@dataclass(frozen=True, slots=True)
class Layout:
    """Index tensors for N flat tokens, the first ``prefix_tokens`` of them in prefixes.

    ids, positions: (N,).
    previous: (N,) flat index of the token before, -1 where there is none.
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
    real_prefix = tree.real_prefix
    fed = tree.real_continuation & (
        torch.arange(tree.continuation_ids.shape[1]) < tree.continuation_lengths[:, None] - 1
    )  # (B, T): all but each continuation's last token
    fed = fed[:, : max(0, fed.shape[1] - 1)]
    prefix_flat = _numbered(real_prefix, 0)
    prefix_tokens = int(real_prefix.sum())
    continuation_flat = _numbered(fed, prefix_tokens)
    before_continuation = prefix_flat[tree.continuation_prefix, tree.continuation_start - 1]  # (B,)
    prefix_positions, continuation_positions = tree.all_positions()
    scored_prefix, scored_continuation = tree.scored_prefix, tree.scored_continuation
    before_prefix_tokens = torch.nn.functional.pad(prefix_flat, (1, 0))[:, :-1]
    before_continuation_tokens = torch.cat([before_continuation[:, None], continuation_flat], 1)
    chunks = chunked(tree.continuation_prefix, len(tree.prefix_ids), fed.shape[1])
    slots = _slots(tree, fed, chunks)
    return Layout(
        ids=torch.cat(
            [tree.prefix_ids[real_prefix], tree.continuation_ids[:, : fed.shape[1]][fed]]
        ),
        positions=torch.cat(
            [prefix_positions[real_prefix], continuation_positions[:, : fed.shape[1]][fed]]
        ),
        previous=_previous(real_prefix, fed, before_continuation),
        to_prefix=prefix_flat.flatten(),
        from_prefix=real_prefix.flatten().nonzero()[:, 0],
        to_slots=slots.to_slots,
        from_slots=slots.from_slots,
        chunk_prefix=chunks.chunk_prefix,
        slot_start=slots.slot_start,
        predictor=torch.cat(
            [
                before_prefix_tokens[scored_prefix],
                before_continuation_tokens[:, : scored_continuation.shape[1]][scored_continuation],
            ]
        ),
        target=torch.cat(
            [tree.prefix_ids[scored_prefix], tree.continuation_ids[scored_continuation]]
        ),
        prefix_shape=(tree.prefix_ids.shape[0], tree.prefix_ids.shape[1]),
        slot_shape=(len(chunks.chunk_prefix), chunks.size, fed.shape[1]),
        prefix_tokens=prefix_tokens,
        chunks_are_prefixes=torch.equal(chunks.chunk_prefix, torch.arange(len(tree.prefix_ids))),
    )


def _numbered(real: Tensor, first: int) -> Tensor:
    """Cells (N, M) numbered from ``first`` in reading order; padding gets ``first``."""
    numbers = real.flatten().cumsum(0).view(real.shape) - 1 + first
    return torch.where(real, numbers, first)


def _previous(real_prefix: Tensor, fed: Tensor, before_continuation: Tensor) -> Tensor:
    """(N,) flat index of the token before each; -1 at the beginning of a prefix."""
    count = int(real_prefix.sum() + fed.sum())
    previous = torch.arange(count) - 1
    lengths, continuation_lengths = real_prefix.sum(1), fed.sum(1)
    prefix_first = lengths.cumsum(0) - lengths
    previous[prefix_first[lengths > 0]] = -1
    continuation_first = (
        int(real_prefix.sum()) + continuation_lengths.cumsum(0) - continuation_lengths
    )
    some = continuation_lengths > 0
    previous[continuation_first[some]] = before_continuation[some]
    return previous


@dataclass(frozen=True, slots=True)
class Chunks:
    """Continuations in R chunks of C slots, each chunk for one prefix.

    chunk_prefix: (R,); slot_of: (B,) the slot of each continuation, of R*C in all.
    """

    chunk_prefix: Tensor
    slot_of: Tensor
    size: int

    @property
    def slots(self) -> int:
        """R * C, the empty ones included."""
        return len(self.chunk_prefix) * self.size


def chunked(prefix_of: Tensor, prefixes: int, width: int) -> Chunks:
    """Continuations (B,), by their prefix, put into chunks; ``width`` tokens each."""
    counts = torch.bincount(prefix_of, minlength=prefixes)  # (P,)
    size = _chunk_size(counts, width)
    chunks = (counts + size - 1) // size
    order = torch.argsort(prefix_of, stable=True)
    first_of_prefix = counts.cumsum(0) - counts
    rank = torch.empty_like(prefix_of)
    rank[order] = torch.arange(len(prefix_of)) - first_of_prefix[prefix_of[order]]
    first_slot = (chunks.cumsum(0) - chunks) * size
    return Chunks(
        chunk_prefix=torch.repeat_interleave(torch.arange(prefixes), chunks),
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


@dataclass(frozen=True, slots=True)
class _Slots:
    to_slots: Tensor
    from_slots: Tensor
    slot_start: Tensor


def _slots(tree: TokenTree, fed: Tensor, chunks: Chunks) -> _Slots:
    """Where the fed continuation tokens (B, width) stand; an empty slot sees one prefix token."""
    width = fed.shape[1]
    start = torch.ones(chunks.slots, dtype=torch.long)
    start[chunks.slot_of] = tree.continuation_start
    to_slots = torch.zeros(chunks.slots, width, dtype=torch.long)
    to_slots[chunks.slot_of] = _numbered(fed, 0)
    cells = chunks.slot_of[:, None] * width + torch.arange(width)  # (B, width)
    return _Slots(to_slots.flatten(), cells[fed], start.view(-1, chunks.size))
