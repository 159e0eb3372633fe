"""Which rows a group has: the policy's own, the expert's, and expert prefixes with own ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from annotated_types import Ge

from srl_agents.checked import Checked
from srl_agents.objectives.groups import Group, Member
from srl_env.rollout import Episode, Step


@dataclass(frozen=True, slots=True)
class GroupRows(Checked):
    """The rows of a group besides those that the policy writes from its start.

    Problems without an expert have rows of the policy alone.
    demonstration: a whole solution of the expert for each group: "compared", a member, whose reward
    counts in the group's mean and std; "beside", for loss terms alone; None for none.
    reward: of a demonstration; None is the verifier's, and demonstrations that it rejects are left
    out. counts: whether a group is trained on if only the demonstration's reward differs.
    continued: how many of the group's episodes continue the prefix that ``starts.prefix`` gives,
    which is then trained on with them: the expert's first steps, or the beginning of its whole
    solution. The others start at the problem. With 0 all start after the prefix, as context.
    """

    demonstration: Literal["compared", "beside"] | None = None
    reward: float | None = None
    counts: bool = True
    continued: Annotated[int, Ge(0)] = 0

    @property
    def any(self) -> bool:
        """Whether there are others than the policy's own."""
        return self.demonstration is not None or self.continued > 0

    def usable(self, expert: Episode) -> bool:
        """Whether a demonstration can be a row."""
        accepted = self.reward is not None or expert.correct is True
        return accepted and expert.failure is None and bool(expert.steps)

    def joined(self, group: Group, episodes: Sequence[Episode], expert: Episode | None) -> Group:
        """The group with its other rows. episodes: the policy's. expert: the demonstration's."""
        if expert is None:
            return group
        members = group.members
        if self.continued and expert.granularity == "solution":
            members = tuple(_begun(member, expert.steps) for member in members)
        elif self.continued:
            starts = (episodes[member.episode].start_step for member in members)
            members = tuple(map(_prefixed, members, starts, [expert.steps] * len(members)))
        if self.demonstration is None or not self.usable(expert):
            return replace(group, members=members)
        reward = expert.total_reward if self.reward is None else self.reward
        row = Member(reward, expert.steps, -1, expert.correct, _lengths(expert.steps))
        if self.demonstration == "beside":
            return replace(group, members=members, beside=(row,))
        return replace(group, members=(*members, row), expert_counts=self.counts)


def _prefixed(member: Member, start: int, expert: Sequence[Step]) -> Member:
    """The member after the expert's first ``start`` steps; as it is if the expert has fewer."""
    prefix = tuple(expert[:start])
    if not start or len(prefix) < start:
        return member
    given = _lengths(prefix) + (0,) * len(member.steps)
    return replace(member, steps=prefix + member.steps, given=given)


def _begun(member: Member, expert: Sequence[Step]) -> Member:
    """The member with the beginning of the expert's solution in its completion, not its prompt.

    As it is if its prompt is not the expert's and more.
    """
    if not member.steps:  # its completion is masked
        return member
    (step, *_), (shown, *_) = member.steps, expert
    own, prompt = step.generation, shown.generation.prompt_ids
    begun = own.prompt_ids[len(prompt) :]
    if not begun or own.prompt_ids[: len(prompt)] != prompt:
        return member
    whole = replace(
        own,
        prompt_ids=prompt,
        token_ids=begun + own.token_ids,
        logprobs=(0.0,) * len(begun) + own.logprobs,
        forced=(own.forced[0] + len(begun), own.forced[1] + len(begun)),
    )
    return replace(member, steps=(replace(step, generation=whole),), given=(len(begun),))


def _lengths(steps: Sequence[Step]) -> tuple[int, ...]:
    return tuple(len(step.generation.token_ids) for step in steps)
