"""Token sequences that share their beginnings: prefixes and their continuations.

A *prefix* is a token sequence computed once. A *continuation* follows ``prefix[:start]`` with
tokens of its own. The completions of one prompt continue one prefix. The steps of one solution,
each written after the expert's earlier steps, continue one prefix (prompt and expert steps) with
a different ``start`` each. This module only describes and checks them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from srl_env.errors import BadOption


@dataclass(frozen=True, slots=True)
class Continuation:
    """Tokens ``ids`` that continue the first ``start`` tokens of prefix number ``prefix``."""

    prefix: int
    start: int
    ids: Sequence[int]


def shared_prefixes(prompts: Sequence[Sequence[int]]) -> list[tuple[tuple[int, ...], list[int]]]:
    """The fewest prefixes of which every prompt is a beginning, each with its prompts' numbers.

    In descending order a prompt comes right after those it is the beginning of.
    """
    numbers_of: dict[tuple[int, ...], list[int]] = {}
    for number, prompt in enumerate(prompts):
        numbers_of.setdefault(tuple(prompt), []).append(number)
    prefixes: list[tuple[tuple[int, ...], list[int]]] = []
    for prompt in sorted(numbers_of, reverse=True):
        if prefixes and prefixes[-1][0][: len(prompt)] == prompt:
            prefixes[-1][1].extend(numbers_of[prompt])
        else:
            prefixes.append((prompt, list(numbers_of[prompt])))
    return prefixes


@dataclass(frozen=True, slots=True)
class TokenTree:
    """P prefixes of at most L tokens and B continuations of at most T, padded on the right.

    prefix_ids: (P, L) token ids; the padding does not matter.
    prefix_lengths: (P,) number of real tokens.
    continuation_ids, continuation_lengths: (B, T), (B,), likewise.
    continuation_prefix: (B,) the prefix each continuation continues.
    continuation_start: (B,) how many of that prefix's tokens it sees, at least 1.
    prefix_positions: (P, L), continuation_positions: (B, T) position ids; None counts up from 0,
        a continuation from its ``start``.
    score_prefix: (P, L), score_continuation: (B, T) bool, the tokens whose log-probability is asked
        for. None scores no prefix token, and every continuation token. The language model's head
        is computed nowhere else.
    """

    prefix_ids: Tensor
    prefix_lengths: Tensor
    continuation_ids: Tensor
    continuation_lengths: Tensor
    continuation_prefix: Tensor
    continuation_start: Tensor
    prefix_positions: Tensor | None = None
    continuation_positions: Tensor | None = None
    score_prefix: Tensor | None = None
    score_continuation: Tensor | None = None

    @property
    def real_prefix(self) -> Tensor:
        """(P, L) bool, False in the padding."""
        return _real(self.prefix_ids, self.prefix_lengths)

    @property
    def real_continuation(self) -> Tensor:
        """(B, T) bool, False in the padding."""
        return _real(self.continuation_ids, self.continuation_lengths)

    @property
    def scored_prefix(self) -> Tensor:
        """(P, L) bool: requested, real, and not the first token, which nothing predicts."""
        if self.score_prefix is None:
            return torch.zeros_like(self.prefix_ids, dtype=torch.bool)
        scored = self.score_prefix & self.real_prefix
        scored[:, :1] = False
        return scored

    @property
    def scored_continuation(self) -> Tensor:
        """(B, T) bool: requested and real."""
        real = self.real_continuation
        return real if self.score_continuation is None else self.score_continuation & real

    def all_positions(self) -> tuple[Tensor, Tensor]:
        """Position ids of prefixes (P, L) and continuations (B, T), counted if not given."""
        prefix, continuation = self.prefix_positions, self.continuation_positions
        if prefix is None:
            prefix = torch.arange(self.prefix_ids.shape[1]).expand_as(self.prefix_ids)
        if continuation is None:
            continuation = self.continuation_start[:, None] + torch.arange(
                self.continuation_ids.shape[1]
            )
        return prefix, continuation


def tree_of(
    prefixes: Sequence[Sequence[int]],
    continuations: Sequence[Continuation] = (),
    *,
    score_prefix: bool = False,
) -> TokenTree:
    """The tree of lists of token ids.

    score_prefix: request the log-probabilities of all prefix tokens too.
    Raises BadOption if a continuation starts outside its prefix.
    """
    for number, continuation in enumerate(continuations):
        _check(number, continuation, prefixes)
    prefix_ids, prefix_lengths = padded(prefixes)
    continuation_ids, continuation_lengths = padded(
        [continuation.ids for continuation in continuations]
    )
    return TokenTree(
        prefix_ids=prefix_ids,
        prefix_lengths=prefix_lengths,
        continuation_ids=continuation_ids,
        continuation_lengths=continuation_lengths,
        continuation_prefix=torch.tensor(
            [continuation.prefix for continuation in continuations], dtype=torch.long
        ),
        continuation_start=torch.tensor(
            [continuation.start for continuation in continuations], dtype=torch.long
        ),
        score_prefix=torch.ones_like(prefix_ids, dtype=torch.bool) if score_prefix else None,
    )


def _check(number: int, continuation: Continuation, prefixes: Sequence[Sequence[int]]) -> None:
    if not 0 <= continuation.prefix < len(prefixes):
        raise BadOption(
            f"prefix of continuation {number} must be below {len(prefixes)}; "
            f"got {continuation.prefix}"
        )
    length = len(prefixes[continuation.prefix])
    if not 1 <= continuation.start <= length:
        raise BadOption(
            f"start of continuation {number} must be 1 to the {length} tokens of its prefix; "
            f"got {continuation.start}"
        )


def padded(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Rows padded on the right with 0, (N, longest), and their lengths (N,)."""
    lengths = [len(row) for row in rows]
    width = max(lengths, default=0)
    ids = torch.tensor([[*row, *([0] * (width - len(row)))] for row in rows], dtype=torch.long)
    return ids.view(len(rows), width), torch.tensor(lengths, dtype=torch.long)


def _real(ids: Tensor, lengths: Tensor) -> Tensor:
    return torch.arange(ids.shape[1]) < lengths[:, None]
