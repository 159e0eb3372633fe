"""From episodes to groups of comparable completions, and from groups to a training batch.

What is compared decides what is learned. Where the expert's step enters the history, every
step of an episode was written in the same context as the same step of its copies: the group is
(start, step) and the reward that step's own. Where the policy's step enters, contexts part
after the first step: the group is the start, the reward the episode's total, and all tokens of
the episode share its advantage. A failure of ours is in no group; it is counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from srl_agents.methods.stages import GRPO
from srl_agents.objectives.advantage import group_advantages, group_stds
from srl_agents.objectives.loss import completion_weights
from srl_env.rollout import Episode, Step


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a group: a reward and the steps it is for, in order."""

    reward: float
    steps: tuple[Step, ...]

    @property
    def format_ok(self) -> bool:
        """Whether every step kept the format."""
        return all(step.format_ok for step in self.steps)


@dataclass(frozen=True, slots=True)
class Group:
    """At least two members sampled from the same context.

    start: the number of the start they are copies of. std: of their rewards;
    std_in_format: the same without the members that broke the format. many_steps: whether
    a member is an episode, which may have several steps, rather than one completion.
    """

    start: int
    members: tuple[Member, ...]
    std: float
    std_in_format: float
    many_steps: bool = False


Outcome = Literal["trained", "zero_std", "unused"]
"""What happened to a group: trained on; dropped, because its rewards differ too little; or
not used, because the batch was full."""


@dataclass(frozen=True, slots=True)
class Signal:
    """What a step's group made of it: its advantage, the group's std and outcome."""

    advantage: float
    std: float
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Batch:
    """B completions to train on, token-exact.

    prompts, completions: token ids. advantages, weights: (B,) float64, the weights those of one
    token in the batch's loss. sampler_logprobs: as sampled; empty for demonstrations.
    """

    prompts: tuple[tuple[int, ...], ...]
    completions: tuple[tuple[int, ...], ...]
    advantages: Tensor
    weights: Tensor
    sampler_logprobs: tuple[tuple[float, ...], ...] = ()

    @property
    def tokens(self) -> int:
        """How many tokens are trained on."""
        return sum(map(len, self.completions))


def groups_of(episodes: Iterable[Episode]) -> list[Group]:
    """The groups of some episodes, in the order in which they first appear.

    Failed steps (or, where the policy's own steps are the history, failed episodes) are left
    out, and so is a group of which fewer than two members remain.
    """
    members: dict[tuple[int, int], list[Member]] = {}
    many_steps: dict[int, bool] = {}
    for episode in episodes:
        many_steps[episode.group] = (episode.continuation, episode.granularity) == (
            "policy",
            "step",
        )
        for key, member in _members(episode):
            members.setdefault(key, []).append(member)
    comparable = {key: tuple(group) for key, group in members.items() if len(group) > 1}
    everyone = _stds(list(comparable.values()))
    in_format = _stds([[m for m in group if m.format_ok] for group in comparable.values()])
    return [
        Group(start, group, std, without, many_steps[start])
        for ((start, _), group), std, without in zip(
            comparable.items(), everyone, in_format, strict=True
        )
    ]


def make_batch(groups: Sequence[Group], objective: GRPO, max_steps: int) -> Batch:
    """The groups' completions with their advantages and weights in the loss.

    max_steps: how many steps an episode may have. With ``objective.max_tokens`` each they are
    what aggregation "constant" divides by where a member of a group is an episode.
    """
    longest = max_steps if any(group.many_steps for group in groups) else 1
    members = [(number, member) for number, group in enumerate(groups) for member in group.members]
    rewards = torch.tensor([member.reward for _, member in members], dtype=torch.float64)
    numbers = torch.tensor([number for number, _ in members])
    advantages = group_advantages(rewards, numbers, objective.scale)
    owners, steps = [], []
    for owner, (_, member) in enumerate(members):
        for step in member.steps:
            if step.generation.token_ids:
                owners.append(owner)
                steps.append(step)
    generations = [step.generation for step in steps]
    completions = tuple(generation.token_ids for generation in generations)
    sequences = torch.tensor(owners, dtype=torch.long)
    return Batch(
        prompts=tuple(generation.prompt_ids for generation in generations),
        completions=completions,
        advantages=advantages[sequences],
        weights=completion_weights(
            torch.tensor([len(ids) for ids in completions]),
            sequences,
            objective.aggregation,
            objective.max_tokens * longest,
        ),
        sampler_logprobs=tuple(generation.logprobs for generation in generations),
    )


def agreed(groups: Sequence[Group]) -> Batch | None:
    """The completions that all members of a group wrote alike, once each and without advantage.

    None where no group's members did.
    """
    steps = [
        step
        for group in groups
        if len({_written(member) for member in group.members}) == 1
        for step in group.members[0].steps
        if step.generation.token_ids
    ]
    if not steps:
        return None
    nothing = torch.zeros(len(steps), dtype=torch.float64)
    return Batch(
        prompts=tuple(step.generation.prompt_ids for step in steps),
        completions=tuple(step.generation.token_ids for step in steps),
        advantages=nothing,
        weights=nothing,
        sampler_logprobs=tuple(step.generation.logprobs for step in steps),
    )


def signals(groups: Sequence[Group], kept: Sequence[Group], objective: GRPO) -> dict[int, Signal]:
    """{id of a step: what its group made of it}, for the steps of these groups.

    kept: the groups that are learned from; the others of ``groups`` have zero_std or
    are unused. Steps that a failure left without a group are absent.
    """
    members = [(number, member) for number, group in enumerate(groups) for member in group.members]
    rewards = torch.tensor([member.reward for _, member in members], dtype=torch.float64)
    numbers = torch.tensor([number for number, _ in members], dtype=torch.long)
    advantages = group_advantages(rewards, numbers, objective.scale).tolist()
    learned = {id(group) for group in kept}
    found: dict[int, Signal] = {}
    for (number, member), advantage in zip(members, advantages, strict=True):
        group = groups[number]
        flat = group.std <= objective.min_std
        outcome: Outcome = "trained" if id(group) in learned else "zero_std" if flat else "unused"
        found |= {id(step): Signal(advantage, group.std, outcome) for step in member.steps}
    return found


def _members(episode: Episode) -> Iterable[tuple[tuple[int, int], Member]]:
    """((start, step), member) of each member an episode gives."""
    if episode.continuation == "expert":
        for step in episode.steps:
            if step.failure is None:
                yield (episode.group, step.index), Member(step.reward, (step,))
    elif episode.failure is None:
        yield (episode.group, 0), Member(episode.total_reward, episode.steps)


def _written(member: Member) -> tuple[tuple[int, ...], ...]:
    """The tokens of each of a member's steps."""
    return tuple(step.generation.token_ids for step in member.steps)


def _stds(groups: Sequence[Sequence[Member]]) -> list[float]:
    """The population std of each group's rewards; 0 for one member or none."""
    rewards = [member.reward for group in groups for member in group]
    numbers = [number for number, group in enumerate(groups) for _ in group]
    found = group_stds(
        torch.tensor(rewards, dtype=torch.float64), torch.tensor(numbers, dtype=torch.long)
    ).tolist()
    return found + [0.0] * (len(groups) - len(found))  # the last groups may be empty
