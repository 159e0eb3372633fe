"""Where each token of a tree goes while it is computed: pure index arithmetic.

Everything that works token by token (projections, norms, feed-forward, head) runs on one
flat list of the real tokens, trunks first, without padding. Attention needs rows: trunk
tokens are gathered into (P, L), branch tokens into slots (R, C, T), where each of the R
chunks holds C branches of the same trunk, so that one matrix product shares the trunk's
keys among them.

The last token of a branch predicts nothing and is not computed.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from srl_agents.nn.tree import TokenTree

_CHUNK_COST_TOKENS = 16  # copying a trunk's keys to one more chunk costs about so many tokens


@dataclass(frozen=True, slots=True)
class Layout:
    """Index tensors for N flat tokens, the first ``trunk_tokens`` of them in trunks.

    ids, positions: (N,).
    previous: (N,) flat index of the token before, -1 where there is none.
    to_trunk: (P*L,) flat index of each cell; from_trunk: (trunk_tokens,) its inverse.
    to_slots: (R*C*T,) index into the flat *branch* tokens; from_slots: its inverse.
    chunk_trunk: (R,) the trunk of each chunk; slot_start: (R, C) how much of it a slot sees.
    predictor, target: (S,) flat index whose hidden state predicts a scored token, and its id.
    Scored tokens are in the order of ``TokenTree.scored_trunk``, then ``scored_branch``.
    """

    ids: Tensor
    positions: Tensor
    previous: Tensor
    to_trunk: Tensor
    from_trunk: Tensor
    to_slots: Tensor
    from_slots: Tensor
    chunk_trunk: Tensor
    slot_start: Tensor
    predictor: Tensor
    target: Tensor
    trunk_shape: tuple[int, int]
    slot_shape: tuple[int, int, int]
    trunk_tokens: int
    chunks_are_trunks: bool

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
    real_trunk = tree.real_trunk
    fed = tree.real_branch & (
        torch.arange(tree.branch_ids.shape[1]) < tree.branch_lengths[:, None] - 1
    )  # (B, T): all but each branch's last token
    fed = fed[:, : max(0, fed.shape[1] - 1)]
    trunk_flat = _numbered(real_trunk, 0)
    trunk_tokens = int(real_trunk.sum())
    branch_flat = _numbered(fed, trunk_tokens)
    before_branch = trunk_flat[tree.branch_trunk, tree.branch_start - 1]  # (B,)
    trunk_positions, branch_positions = tree.all_positions()
    scored_trunk, scored_branch = tree.scored_trunk, tree.scored_branch
    before_trunk_tokens = torch.nn.functional.pad(trunk_flat, (1, 0))[:, :-1]
    before_branch_tokens = torch.cat([before_branch[:, None], branch_flat], 1)
    chunks = chunked(tree.branch_trunk, len(tree.trunk_ids), fed.shape[1])
    slots = _slots(tree, fed, chunks)
    return Layout(
        ids=torch.cat([tree.trunk_ids[real_trunk], tree.branch_ids[:, : fed.shape[1]][fed]]),
        positions=torch.cat(
            [trunk_positions[real_trunk], branch_positions[:, : fed.shape[1]][fed]]
        ),
        previous=_previous(real_trunk, fed, before_branch),
        to_trunk=trunk_flat.flatten(),
        from_trunk=real_trunk.flatten().nonzero()[:, 0],
        to_slots=slots.to_slots,
        from_slots=slots.from_slots,
        chunk_trunk=chunks.chunk_trunk,
        slot_start=slots.slot_start,
        predictor=torch.cat(
            [
                before_trunk_tokens[scored_trunk],
                before_branch_tokens[:, : scored_branch.shape[1]][scored_branch],
            ]
        ),
        target=torch.cat([tree.trunk_ids[scored_trunk], tree.branch_ids[scored_branch]]),
        trunk_shape=(tree.trunk_ids.shape[0], tree.trunk_ids.shape[1]),
        slot_shape=(len(chunks.chunk_trunk), chunks.size, fed.shape[1]),
        trunk_tokens=trunk_tokens,
        chunks_are_trunks=torch.equal(chunks.chunk_trunk, torch.arange(len(tree.trunk_ids))),
    )


def _numbered(real: Tensor, first: int) -> Tensor:
    """Cells (N, M) numbered from ``first`` in reading order; padding gets ``first``."""
    numbers = real.flatten().cumsum(0).view(real.shape) - 1 + first
    return torch.where(real, numbers, first)


def _previous(real_trunk: Tensor, fed: Tensor, before_branch: Tensor) -> Tensor:
    """(N,) flat index of the token before each; -1 at the beginning of a trunk."""
    count = int(real_trunk.sum() + fed.sum())
    previous = torch.arange(count) - 1
    lengths, branch_lengths = real_trunk.sum(1), fed.sum(1)
    trunk_first = lengths.cumsum(0) - lengths
    previous[trunk_first[lengths > 0]] = -1
    branch_first = int(real_trunk.sum()) + branch_lengths.cumsum(0) - branch_lengths
    some = branch_lengths > 0
    previous[branch_first[some]] = before_branch[some]
    return previous


@dataclass(frozen=True, slots=True)
class Chunks:
    """Branches in R chunks of C slots, each chunk for one trunk.

    chunk_trunk: (R,); slot_of: (B,) the slot of each branch, of R*C in all.
    """

    chunk_trunk: Tensor
    slot_of: Tensor
    size: int

    @property
    def slots(self) -> int:
        """R * C, the empty ones included."""
        return len(self.chunk_trunk) * self.size


def chunked(trunk_of: Tensor, trunks: int, width: int) -> Chunks:
    """Branches (B,), by their trunk, put into chunks; ``width`` tokens each."""
    counts = torch.bincount(trunk_of, minlength=trunks)  # (P,)
    size = _chunk_size(counts, width)
    chunks = (counts + size - 1) // size
    order = torch.argsort(trunk_of, stable=True)
    first_of_trunk = counts.cumsum(0) - counts
    rank = torch.empty_like(trunk_of)
    rank[order] = torch.arange(len(trunk_of)) - first_of_trunk[trunk_of[order]]
    first_slot = (chunks.cumsum(0) - chunks) * size
    return Chunks(
        chunk_trunk=torch.repeat_interleave(torch.arange(trunks), chunks),
        slot_of=first_slot[trunk_of] + rank,
        size=size,
    )


def _chunk_size(counts: Tensor, width: int) -> int:
    """How many branches share a chunk: the size with the least padding and key copies."""
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
    """Where the fed branch tokens (B, width) stand; an empty slot sees one trunk token."""
    width = fed.shape[1]
    start = torch.ones(chunks.slots, dtype=torch.long)
    start[chunks.slot_of] = tree.branch_start
    to_slots = torch.zeros(chunks.slots, width, dtype=torch.long)
    to_slots[chunks.slot_of] = _numbered(fed, 0)
    cells = chunks.slot_of[:, None] * width + torch.arange(width)  # (B, width)
    return _Slots(to_slots.flatten(), cells[fed], start.view(-1, chunks.size))
