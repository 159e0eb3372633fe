"""Cutting a batch into micro-batches in which shared beginnings are computed once.

Completions of one prompt are continuations of one prefix; and a prompt that is the beginning of
another one's (the same problem a few steps earlier) lives on that one's prefix. Nothing here
changes the gradient: the loss is a weighted sum over completions, and the weights are the
batch's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from srl_agents.nn.score import Continuation, shared_prefixes

Ids = Sequence[int]


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """What goes through the model at once: prefixes, continuations, and the batch rows of these."""

    prefixes: tuple[Ids, ...]
    continuations: tuple[Continuation, ...]
    rows: tuple[int, ...]


def micro_batches(
    prompts: Sequence[Ids], completions: Sequence[Ids], max_tokens: int, shared: bool = True
) -> list[MicroBatch]:
    """The batch in parts of at most ``max_tokens`` tokens, or one completion where that is more.

    Parts hold prefixes of similar length, in an order that depends on the batch alone.
    shared: whether the decoder computes prefixes once; where not, each completion's is counted.
    """
    parts: list[MicroBatch] = []
    open_prefixes: list[tuple[Ids, list[int]]] = []
    size = 0
    for prefix, rows in sorted(shared_prefixes(prompts), key=lambda shared: len(shared[0])):
        placed: list[int] = []
        for row in rows:
            alone = len(completions[row]) + (len(prefix) if shared else len(prompts[row]))
            cost = len(completions[row]) if shared and placed else alone
            if size and size + cost > max_tokens:
                parts.append(_part([*open_prefixes, (prefix, placed)], prompts, completions))
                open_prefixes, placed, size = [], [], 0
                cost = alone
            placed.append(row)
            size += cost
        open_prefixes.append((prefix, placed))
    parts.append(_part(open_prefixes, prompts, completions))
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
    size = sum(len(prefix) for prefix, _ in shared_prefixes(prompts)) + sum(map(len, completions))
    return min(max_tokens, -(-size // ranks))


def _part(
    prefixes: Sequence[tuple[Ids, list[int]]], prompts: Sequence[Ids], completions: Sequence[Ids]
) -> MicroBatch:
    used = [(prefix, rows) for prefix, rows in prefixes if rows]
    continuations = [
        Continuation(number, len(prompts[row]), completions[row])
        for number, (_, rows) in enumerate(used)
        for row in rows
    ]
    rows = tuple(row for _, rows in used for row in rows)
    return MicroBatch(tuple(prefix for prefix, _ in used), tuple(continuations), rows)
