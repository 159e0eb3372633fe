"""Token sequences that share their beginnings: trunks, and branches that continue them.

A *trunk* is a token sequence computed once. A *branch* continues ``trunk[:start]`` with
tokens of its own. The completions of one prompt are branches of one trunk; the steps of one
solution, each written after the expert's earlier steps, are branches of one trunk (prompt
and expert outline) with a different ``start`` each.

This module holds only the description, as padded tensors on the CPU, and its checks. How it
is computed is in ``shared_prefix`` (once per trunk) and ``plain`` (trunk repeated per branch).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from srl_env.errors import BadOption


@dataclass(frozen=True, slots=True)
class Branch:
    """Tokens ``ids`` that continue the first ``start`` tokens of trunk number ``trunk``."""

    trunk: int
    start: int
    ids: Sequence[int]


def shared_trunks(prompts: Sequence[Sequence[int]]) -> list[tuple[tuple[int, ...], list[int]]]:
    """The fewest trunks of which every prompt is a beginning, each with its prompts' numbers.

    In descending order a prompt comes right after those it is the beginning of.
    """
    numbers_of: dict[tuple[int, ...], list[int]] = {}
    for number, prompt in enumerate(prompts):
        numbers_of.setdefault(tuple(prompt), []).append(number)
    trunks: list[tuple[tuple[int, ...], list[int]]] = []
    for prompt in sorted(numbers_of, reverse=True):
        if trunks and trunks[-1][0][: len(prompt)] == prompt:
            trunks[-1][1].extend(numbers_of[prompt])
        else:
            trunks.append((prompt, list(numbers_of[prompt])))
    return trunks


@dataclass(frozen=True, slots=True)
class TokenTree:
    """P trunks of at most L tokens and B branches of at most T, padded on the right.

    trunk_ids: (P, L) token ids; what stands in the padding does not matter.
    trunk_lengths: (P,) number of real tokens.
    branch_ids, branch_lengths: (B, T), (B,), likewise.
    branch_trunk: (B,) the trunk each branch continues.
    branch_start: (B,) how many of that trunk's tokens it sees, at least 1.
    trunk_positions: (P, L), branch_positions: (B, T) position ids; None counts up from 0,
        a branch from its ``start``.
    score_trunk: (P, L), score_branch: (B, T) bool, the tokens whose log-probability is asked
        for. None scores no trunk token, and every branch token. The language model's head
        is computed nowhere else.
    """

    trunk_ids: Tensor
    trunk_lengths: Tensor
    branch_ids: Tensor
    branch_lengths: Tensor
    branch_trunk: Tensor
    branch_start: Tensor
    trunk_positions: Tensor | None = None
    branch_positions: Tensor | None = None
    score_trunk: Tensor | None = None
    score_branch: Tensor | None = None

    @property
    def real_trunk(self) -> Tensor:
        """(P, L) bool, False in the padding."""
        return _real(self.trunk_ids, self.trunk_lengths)

    @property
    def real_branch(self) -> Tensor:
        """(B, T) bool, False in the padding."""
        return _real(self.branch_ids, self.branch_lengths)

    @property
    def scored_trunk(self) -> Tensor:
        """(P, L) bool: asked for, real, and not the first token, which nothing predicts."""
        if self.score_trunk is None:
            return torch.zeros_like(self.trunk_ids, dtype=torch.bool)
        scored = self.score_trunk & self.real_trunk
        scored[:, :1] = False
        return scored

    @property
    def scored_branch(self) -> Tensor:
        """(B, T) bool: asked for and real."""
        real = self.real_branch
        return real if self.score_branch is None else self.score_branch & real

    def all_positions(self) -> tuple[Tensor, Tensor]:
        """Position ids of trunks (P, L) and branches (B, T), counted where not given."""
        trunk, branch = self.trunk_positions, self.branch_positions
        if trunk is None:
            trunk = torch.arange(self.trunk_ids.shape[1]).expand_as(self.trunk_ids)
        if branch is None:
            branch = self.branch_start[:, None] + torch.arange(self.branch_ids.shape[1])
        return trunk, branch

    def check(self) -> TokenTree:
        """The tree itself; BadOption where a branch starts outside its trunk."""
        if not self.branch_trunk.numel():
            return self
        rows, starts = self.branch_trunk, self.branch_start
        if int(rows.min()) < 0 or int(rows.max()) >= len(self.trunk_ids):
            raise BadOption(
                f"a branch names trunk {int(rows.max())}; there are {len(self.trunk_ids)} trunks"
            )
        if int(starts.min()) < 1:
            raise BadOption("a branch has start 0; it needs a token before it to be predicted from")
        if bool((starts > self.trunk_lengths[rows]).any()):
            worst = int((starts - self.trunk_lengths[rows]).argmax())
            raise BadOption(
                f"branch {worst} starts at {int(starts[worst])}, but its trunk has only "
                f"{int(self.trunk_lengths[rows[worst]])} tokens"
            )
        return self


def tree_of(
    trunks: Sequence[Sequence[int]],
    branches: Sequence[Branch] = (),
    *,
    trunk_positions: Sequence[Sequence[int]] | None = None,
    branch_positions: Sequence[Sequence[int]] | None = None,
    score_trunk: bool = False,
) -> TokenTree:
    """The tree of lists of token ids; positions, where given, match them item by item.

    score_trunk: also ask for the log-probabilities of all trunk tokens.
    Raises BadOption where a branch starts outside its trunk.
    """
    trunk_ids, trunk_lengths = padded(trunks)
    branch_ids, branch_lengths = padded([branch.ids for branch in branches])
    return TokenTree(
        trunk_ids=trunk_ids,
        trunk_lengths=trunk_lengths,
        branch_ids=branch_ids,
        branch_lengths=branch_lengths,
        branch_trunk=torch.tensor([branch.trunk for branch in branches], dtype=torch.long),
        branch_start=torch.tensor([branch.start for branch in branches], dtype=torch.long),
        trunk_positions=None if trunk_positions is None else padded(trunk_positions)[0],
        branch_positions=None if branch_positions is None else padded(branch_positions)[0],
        score_trunk=torch.ones_like(trunk_ids, dtype=torch.bool) if score_trunk else None,
    ).check()


def padded(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Rows padded on the right with 0, (N, longest), and their lengths (N,)."""
    lengths = [len(row) for row in rows]
    width = max(lengths, default=0)
    ids = torch.tensor([[*row, *([0] * (width - len(row)))] for row in rows], dtype=torch.long)
    return ids.view(len(rows), width), torch.tensor(lengths, dtype=torch.long)


def _real(ids: Tensor, lengths: Tensor) -> Tensor:
    return torch.arange(ids.shape[1]) < lengths[:, None]
