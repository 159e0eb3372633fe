"""Cutting a batch into micro-batches in which shared beginnings are computed once.

Completions of one prompt are branches of one trunk; and a prompt that is the beginning of
another one's (the same problem a few steps earlier) lives on that one's trunk. Nothing here
changes the gradient: the loss is a weighted sum over completions, and the weights are the
batch's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from srl_agents.nn.score import Branch, shared_trunks

Ids = Sequence[int]


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """What goes through the model at once: trunks, branches, and each branch's row in the batch."""

    trunks: tuple[Ids, ...]
    branches: tuple[Branch, ...]
    rows: tuple[int, ...]


def micro_batches(
    prompts: Sequence[Ids], completions: Sequence[Ids], max_tokens: int, shared: bool = True
) -> list[MicroBatch]:
    """The batch in parts of at most ``max_tokens`` tokens, or one completion where that is more.

    Parts hold trunks of similar length, in an order that depends on the batch alone.
    shared: whether the decoder computes trunks once; where not, each completion's is counted.
    """
    parts: list[MicroBatch] = []
    open_trunks: list[tuple[Ids, list[int]]] = []
    size = 0
    for trunk, rows in sorted(shared_trunks(prompts), key=lambda shared: len(shared[0])):
        placed: list[int] = []
        for row in rows:
            alone = len(completions[row]) + (len(trunk) if shared else len(prompts[row]))
            cost = len(completions[row]) if shared and placed else alone
            if size and size + cost > max_tokens:
                parts.append(_part([*open_trunks, (trunk, placed)], prompts, completions))
                open_trunks, placed, size = [], [], 0
                cost = alone
            placed.append(row)
            size += cost
        open_trunks.append((trunk, placed))
    parts.append(_part(open_trunks, prompts, completions))
    return [part for part in parts if part.rows]


def my_part(parts: Sequence[MicroBatch], rank: int, ranks: int) -> list[tuple[MicroBatch, bool]]:
    """What process ``rank`` of ``ranks`` computes of the micro-batches, and whether it counts.

    Equally many for all: sharded weights are put together by all at once, so whoever has nothing
    left computes the last micro-batch along with another, and it does not count.
    """
    mine = [(part, True) for part in parts[rank::ranks]]
    rounds = -(-len(parts) // ranks)
    return mine + [(parts[-1], False)] * (rounds - len(mine))


def even_tokens(
    prompts: Sequence[Ids], completions: Sequence[Ids], max_tokens: int, ranks: int
) -> int:
    """``max_tokens``, or less where a micro-batch of that size would leave a process without."""
    if ranks == 1:
        return max_tokens
    size = sum(len(trunk) for trunk, _ in shared_trunks(prompts)) + sum(map(len, completions))
    return min(max_tokens, -(-size // ranks))


def _part(
    trunks: Sequence[tuple[Ids, list[int]]], prompts: Sequence[Ids], completions: Sequence[Ids]
) -> MicroBatch:
    used = [(trunk, rows) for trunk, rows in trunks if rows]
    branches = [
        Branch(number, len(prompts[row]), completions[row])
        for number, (_, rows) in enumerate(used)
        for row in rows
    ]
    rows = tuple(row for _, rows in used for row in rows)
    return MicroBatch(tuple(trunk for trunk, _ in used), tuple(branches), rows)
