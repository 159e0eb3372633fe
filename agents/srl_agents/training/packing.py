"""Splitting a batch into micro-batches in which shared prefixes are computed once.

Completions of one prompt continue one prefix. A prompt that begins another prompt (the same problem
a few steps earlier) uses that prompt's prefix. The gradient does not change: the loss is a weighted
sum over completions, with weights from the whole batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from srl_agents.nn.score import Continuation, shared_prefixes
from srl_agents.training.positions import pass_positions

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
    """The batch in parts of at most ``max_tokens`` tokens, or of one longer completion.

    Parts hold prefixes of similar length. Their order depends only on the batch.
    shared: whether the decoder computes a prefix once; if not, each completion's is counted.
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
    """The micro-batches of process ``rank`` of ``ranks``, and whether each counts.

    All processes get the same number, because they gather sharded weights together. A process
    with nothing left computes the last micro-batch, which then does not count.
    """
    mine = [(part, True) for part in parts[rank::ranks]]
    rounds = -(-len(parts) // ranks)
    return mine + [(parts[-1], False)] * (rounds - len(mine))


def even_tokens(
    prompts: Sequence[Ids], completions: Sequence[Ids], max_tokens: int, ranks: int
) -> int:
    """``max_tokens``, or less if a process would otherwise get no micro-batch."""
    if ranks == 1:
        return max_tokens
    return min(max_tokens, -(-pass_positions(prompts, completions) // ranks))


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
