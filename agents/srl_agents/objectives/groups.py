"""From episodes to groups of comparable completions.

What is compared decides what is learned. If the expert's step enters the history, all copies of an
episode write a given step in the same context. The group is then (start, step), and the reward is
that step's. If the policy's own step enters, contexts differ after the first step. The group is
then the start, the reward is the episode's total, and all tokens of the episode share its
advantage. Infrastructure failures are in no group; they are counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

from srl_agents.objectives.choices import Grouping
from srl_env.policy import Generation
from srl_env.rollout import Episode, Step

Outcome = Literal["trained", "zero_std", "unused"]
"""What happened to a group: trained on; dropped, because its rewards differ too little; or
not used, because the batch was full."""


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a group: a reward, and the steps it is for, in order.

    episode: the position of its episode among those that were collected; −1 for the expert's.
    correct: the verifier's verdict, None without one. given: how many tokens at the beginning of
    each step's completion are the expert's, () if all are the policy's own. masked: further steps
    that the reward is for, which are not trained on.
    """

    reward: float
    steps: tuple[Step, ...]
    episode: int = 0
    correct: bool | None = None
    given: tuple[int, ...] = ()
    masked: tuple[Step, ...] = ()

    @property
    def expert(self) -> bool:
        """Whether all of it is the expert's."""
        return self.episode < 0

    @property
    def parts(self) -> Iterator[tuple[Generation, int]]:
        """What was written in one go, in order, and how many tokens at its beginning are the
        expert's; without empty ones."""
        for step, given in zip(self.steps, self.given or (0,) * len(self.steps), strict=True):
            parts = [part for part in step.generation.parts if part.token_ids]
            yield from zip(parts, (given, 0), strict=False)

    @property
    def format_ok(self) -> bool:
        """Whether every step kept the format."""
        return all(step.format_ok for step in (*self.steps, *self.masked))


@dataclass(frozen=True)
class Group:
    """At least two members sampled from the same context.

    start: the number of the start they are copies of. many_steps: whether a member is an episode,
    which may have several steps, rather than one completion. beside: rows that are not compared
    with the others. expert_counts: whether the group is trained on if only an expert's reward
    differs. imitated: whether it is trained on even if no reward differs.
    """

    start: int
    members: tuple[Member, ...]
    many_steps: bool = False
    beside: tuple[Member, ...] = ()
    expert_counts: bool = False
    imitated: bool = False

    @property
    def sampled(self) -> tuple[Member, ...]:
        """The members that the policy sampled, also after an expert's prefix."""
        return tuple(member for member in self.members if not member.expert)

    @cached_property
    def std(self) -> float:
        """The population std of the rewards that count."""
        counted = self.members if self.expert_counts else self.sampled
        return reward_std([member.reward for member in counted])

    def informative(self, min_std: float) -> bool:
        """Whether there is something to learn from it."""
        return self.imitated or self.std > min_std

    @cached_property
    def std_in_format(self) -> float:
        """The same without the members that broke the format."""
        return reward_std([member.reward for member in self.sampled if member.format_ok])


@dataclass(frozen=True, slots=True)
class Signal:
    """What a step learned from its group: its advantage, the group's std and outcome."""

    advantage: float
    std: float
    outcome: Outcome


def reward_std(rewards: Sequence[float]) -> float:
    """The population standard deviation sqrt(Σ(r − r̄)²/G); exactly 0 for equal rewards or none.

    Source: the filter of SRL, arXiv:2510.25992, section 3.3.
    """
    values = np.asarray(rewards, dtype=np.float64)
    return float(np.std(values - values.min())) if len(values) else 0.0


def groups_of(
    episodes: Iterable[Episode], grouping: Grouping | None = None, mask_truncated: bool = False
) -> list[Group]:
    """The groups of some episodes, in the order in which they first appear.

    grouping: "step" compares the completions of one step of one start, by the step's reward;
    "episode" whole episodes from one start, by their total. None is "step" under continuation
    "expert", else "episode". mask_truncated: truncated completions count in their group, but are
    not among its members' steps.
    Failed steps are in no group of steps, and failed episodes in none of episodes. A group needs at
    least two members.
    """
    members: dict[tuple[int, int], list[Member]] = {}
    many_steps: dict[int, bool] = {}
    for number, episode in enumerate(episodes):
        by_step = (grouping or _implied(episode)) == "step"
        many_steps[episode.group] = not by_step and episode.granularity == "step"
        for key, member in (_steps if by_step else _whole)(number, episode):
            member = _masked(member) if mask_truncated else member
            members.setdefault(key, []).append(member)
    return [
        Group(start, tuple(group), many_steps[start])
        for (start, _), group in members.items()
        if len(group) > 1
    ]


def outcomes(groups: Iterable[Group], min_std: float, batch: int) -> list[Outcome]:
    """The outcome of each group: the first ``batch`` that are informative are trained."""
    found: list[Outcome] = []
    for group in groups:
        if group.informative(min_std):
            found.append("trained" if found.count("trained") < batch else "unused")
        else:
            found.append("zero_std")
    return found


Members = Iterable[tuple[tuple[int, int], Member]]
"""((start, step), member) of each member an episode gives."""


def _steps(number: int, episode: Episode) -> Members:
    for step in episode.steps:
        if step.failure is None:
            yield (episode.group, step.index), Member(step.reward, (step,), number)


def _whole(number: int, episode: Episode) -> Members:
    if episode.failure is None:
        member = Member(episode.total_reward, episode.steps, number, episode.correct)
        yield (episode.group, 0), member


def _implied(episode: Episode) -> Grouping:
    """Contexts differ after the first step where the policy's own steps are the history."""
    return "step" if episode.continuation == "expert" else "episode"


def _masked(member: Member) -> Member:
    """The member without its truncated steps."""
    parts: dict[bool, list[Step]] = {True: [], False: []}
    for step in member.steps:
        parts[step.generation.finish_reason == "length"].append(step)
    return replace(member, steps=tuple(parts[False]), masked=tuple(parts[True]))
