"""From groups with rows of both origins to a batch whose loss has several terms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from srl_agents.objectives.batch import Batch, batch_of
from srl_agents.objectives.choices import Aggregation
from srl_agents.objectives.groups import Group
from srl_agents.objectives.loss import completion_weights
from srl_agents.objectives.mixed.terms import LossTerm


def mixed_batch(
    groups: Sequence[Group],
    advantages: Tensor,
    terms: Sequence[LossTerm],
    aggregation: Aggregation,
    longest: int,
) -> Batch:
    """The groups' completions, those beside the members included, with a column for each term.

    advantages: (N,) of all members; rows beside them have 0. longest: how many tokens a member may
    have. A term is normalised by its own tokens. Completions without any are left out.
    """
    whole = [(group, member) for group in groups for member in group.members]
    beside = [(group, member) for group in groups for member in group.beside]
    rows = [
        (owner, part, given, [term.tokens(group, len(part.token_ids), given) for term in terms])
        for owner, (group, member) in enumerate(whole + beside)
        for part, given in member.parts
    ]
    rows = [row for row in rows if any(row[3])]
    owners = torch.tensor([owner for owner, *_ in rows], dtype=torch.long)
    lengths = torch.tensor([tokens for *_, tokens in rows]).reshape(len(rows), len(terms))
    weights = torch.zeros(lengths.shape, dtype=torch.float64)
    for column, counts in enumerate(lengths.unbind(1)):
        if (has := counts > 0).any():
            parts = completion_weights(counts[has], owners[has], aggregation, longest)
            weights[has, column] = parts
    advantages = torch.cat([advantages, advantages.new_zeros(len(beside))])
    given = tuple(given for _, _, given, _ in rows)
    batch = batch_of([part for _, part, *_ in rows], advantages[owners], weights)
    return replace(batch, given=given if any(given) else ())
