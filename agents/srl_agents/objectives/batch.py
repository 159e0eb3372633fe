"""From groups to what an update trains on: token ids, advantages, and weights in the loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from srl_agents.objectives.choices import Aggregation
from srl_agents.objectives.groups import Group
from srl_agents.objectives.loss import completion_weights
from srl_env.policy import Generation
from srl_env.rollout import Step


@dataclass(frozen=True, slots=True)
class Batch:
    """B completions to train on, token-exact.

    prompts, completions: token ids. advantages: (B,) float64. weights: float64, (B,) or (B, K)
    with a column for each loss term; a weight is that of one token in the batch's loss.
    sampler_logprobs: as sampled, none for an expert's completion; empty for demonstrations.
    teacher_prompts: those in which a teacher scores the completions; empty without a teacher.
    given: how many tokens at the beginning of each completion are the expert's, in a batch of both
    origins; else ().
    """

    prompts: tuple[tuple[int, ...], ...]
    completions: tuple[tuple[int, ...], ...]
    advantages: Tensor
    weights: Tensor
    sampler_logprobs: tuple[tuple[float, ...], ...] = ()
    teacher_prompts: tuple[tuple[int, ...], ...] = ()
    given: tuple[int, ...] = ()

    @property
    def tokens(self) -> int:
        """How many tokens are trained on."""
        return sum(map(len, self.completions))

    @property
    def sampled_tokens(self) -> int:
        """How many of them are not an expert's, in a batch of both origins."""
        return self.tokens - sum(self.given)


@dataclass(frozen=True, slots=True)
class TrainingBatches:
    """What one update trains on: a batch for each optimiser step of a pass.

    fraction: what each step counts as (``srl_agents.training.partial_step``).
    unanimous: the completions that ``max_drop`` protects; None if there are none.
    """

    batches: tuple[Batch, ...]
    fraction: float = 1.0
    unanimous: Batch | None = None

    @property
    def tokens(self) -> int:
        """How many tokens are trained on."""
        return sum(batch.tokens for batch in self.batches)


def rewards_of(
    groups: Sequence[Group], rewards_in: Callable[[Group], Sequence[float]]
) -> tuple[Tensor, Tensor]:
    """The rewards of all members, (N,) float64, and the number of each one's group, (N,).

    rewards_in: those of one group's members.
    """
    rewards = [reward for group in groups for reward in rewards_in(group)]
    numbers = [number for number, group in enumerate(groups) for _ in group.members]
    return torch.tensor(rewards, dtype=torch.float64), torch.tensor(numbers, dtype=torch.long)


def make_batch(
    groups: Sequence[Group], advantages: Tensor, aggregation: Aggregation, longest: int
) -> Batch:
    """The groups' completions with their advantages and weights in the loss.

    A completion with forced ids is two: those ids are in the prompt of the second.
    advantages: (N,) of all members. longest: how many tokens a member may have.
    """
    members = [member for group in groups for member in group.members]
    written = [(owner, part) for owner, member in enumerate(members) for part, _ in member.parts]
    owners = torch.tensor([owner for owner, _ in written], dtype=torch.long)
    lengths = torch.tensor([len(part.token_ids) for _, part in written])
    weights = completion_weights(lengths, owners, aggregation, longest)
    return batch_of([part for _, part in written], advantages[owners], weights)


def unanimous(groups: Sequence[Group]) -> Batch | None:
    """The completions that all members of a group wrote alike, once each, without advantage.

    What an expert began is in the prompt. None if there is no such group.
    """
    parts = [
        _after(part, given)
        for group in groups
        if len({_token_ids(member.steps) for member in group.sampled}) == 1
        for part, given in group.sampled[0].parts
        if given < len(part.token_ids)
    ]
    nothing = torch.zeros(len(parts), dtype=torch.float64)
    return batch_of(parts, nothing, nothing) if parts else None


def batch_of(generations: Sequence[Generation], advantages: Tensor, weights: Tensor) -> Batch:
    """Completions with their advantages and weights."""
    return Batch(
        tuple(generation.prompt_ids for generation in generations),
        tuple(generation.token_ids for generation in generations),
        advantages,
        weights,
        tuple(generation.logprobs for generation in generations),
    )


def _after(part: Generation, given: int) -> Generation:
    """What the policy wrote after the first ``given`` tokens, which are in its prompt."""
    if not given:
        return part
    return replace(
        part,
        prompt_ids=part.prompt_ids + part.token_ids[:given],
        token_ids=part.token_ids[given:],
        logprobs=part.logprobs[given:],
    )


def _token_ids(steps: Sequence[Step]) -> tuple[tuple[int, ...], ...]:
    return tuple(step.generation.token_ids for step in steps)
