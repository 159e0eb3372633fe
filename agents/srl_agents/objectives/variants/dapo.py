"""DAPO: four changes to GRPO for long reasoning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le

from srl_agents.objectives.choices import Aggregation
from srl_agents.objectives.groups import Group, Member
from srl_agents.objectives.grpo import GRPO


@dataclass(frozen=True, slots=True)
class DAPO(GRPO):
    """GRPO with clip-higher, dynamic sampling, the mean over all tokens, and no long completions.

    Sampling continues until the batch is full of groups whose rewards differ before the penalty;
    with the reward "rlvr" that is 0 < correct < G. There is no KL.

    Source: arXiv:2503.14476, eq. 8 to 13.

    overlong: the last part of ``max_tokens`` in which a completion's reward falls by up to 1; 0 for
    no penalty. The longest completion of an episode decides. 0.2 is 4096 of 20480, as in the paper.
    """

    kind: str = "dapo"
    clip_high: Annotated[float, Ge(0)] = 0.28
    max_groups: Annotated[float, Ge(1)] = 10.0
    aggregation: Aggregation = "token"
    overlong: Annotated[float, Ge(0), Le(1)] = 0.2

    def rewards(self, group: Group) -> Sequence[float]:
        """The rewards with the penalty."""
        return [member.reward + self._penalty(member) for member in group.members]

    def _penalty(self, member: Member) -> float:
        from srl_agents.objectives.loss import overlong_penalty

        steps = (*member.steps, *member.masked)
        longest = max((len(step.generation.token_ids) for step in steps), default=0)
        return overlong_penalty(longest, self.max_tokens, self.overlong * self.max_tokens)
