"""Policy gradient and imitation in one loss, on groups with rows of the policy and the expert."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from srl_agents.objectives.base import Scores
from srl_agents.objectives.groups import Group
from srl_agents.objectives.grpo import GRPO
from srl_agents.objectives.mixed.rows import GroupRows
from srl_agents.objectives.mixed.terms import LossTerm
from srl_agents.objectives.requests import Collected, GroupRequest
from srl_env.rewards import get_reward_mode
from srl_env.rollout import Episode

if TYPE_CHECKING:
    from torch import Tensor

    from srl_agents.objectives.batch import Batch, TrainingBatches


@dataclass(frozen=True, slots=True)
class Mixed(GRPO):
    """A sum of loss terms, each normalised by its own tokens, on groups with expert rows.

    Without expert rows, and with one clipped term, it is GRPO. A group is trained on if its rewards
    differ, or if an open term imitates its demonstration.
    rows: which rows a group has. terms: of the loss.
    """

    kind: str = "mixed"
    rows: GroupRows = GroupRows()  # noqa: RUF009  # frozen
    terms: tuple[LossTerm, ...] = (LossTerm(),)

    @property
    def needs_expert(self) -> bool:
        """Whether there are expert rows, or the reward compares with the expert."""
        return self.rows.any or get_reward_mode(self.reward_mode).needs_expert

    def request(self, refill: bool) -> GroupRequest:
        """Groups with expert rows."""
        own = GRPO.request(self, refill)
        return replace(own, experts=self.rows.any, continued=self.rows.continued)

    def form(self, episodes: Sequence[Episode], experts: Mapping[int, Episode]) -> list[Group]:
        """The groups of the policy's episodes with the experts' rows."""
        joined = (
            self.rows.joined(group, episodes, experts.get(group.start))
            for group in self.groups(episodes)
        )
        return [
            replace(group, imitated=any(term.imitates(group) for term in self.terms))
            for group in joined
        ]

    def training_batches(
        self, collected: Collected, batch: int, max_steps: int
    ) -> TrainingBatches | None:
        """As for other groups, without the batches of which no term has a token."""
        found = GRPO.training_batches(self, collected, batch, max_steps)
        if found is None:
            return None
        kept = tuple(each for each in found.batches if each.completions)
        return replace(found, batches=kept) if kept else None

    def make_batch(self, groups: Sequence[Group], max_steps: int) -> Batch:
        """The groups' completions of both origins, with a column of weights for each term."""
        from srl_agents.objectives.batch import rewards_of
        from srl_agents.objectives.mixed.batch import mixed_batch

        steps = max_steps if any(group.many_steps for group in groups) else 1
        advantages = self.advantages(*rewards_of(groups, self.rewards))
        longest = self.max_tokens * steps
        return mixed_batch(groups, advantages, self.terms, self.aggregation, longest)

    def loss_terms(self, scores: Scores) -> Iterator[Tensor]:
        """Each term, 0 for tokens that are not its own."""
        for term in self.terms:
            chosen = term.chosen(scores)
            # Other tokens have no gradient, not even 0 · inf, which is nan.
            own = replace(scores, logprobs=scores.logprobs.where(chosen, 0.0))
            loss = term.weight * term.losses(own, self._clipped)
            yield loss.where(chosen, 0.0)

    def _clipped(self, scores: Scores) -> Tensor:
        first, *more = GRPO.loss_terms(self, scores)
        return sum(more, start=first)

    def start_problems(self, at: str) -> Iterator[str]:
        """Expert rows belong to episodes that the policy's own steps continue."""
        yield from GRPO.start_problems(self, at)
        continuation = self.continuation or get_reward_mode(self.reward_mode).default_continuation
        if self.rows.any and continuation == "expert":
            yield "objective.rows needs continuation 'policy'; the reward mode's is 'expert'"
        if self.rows.continued > self.group_size:
            yield "objective.rows.continued must be at most objective.group_size"
        if not self.terms:
            yield "objective.terms must have at least one term"

    def __str__(self) -> str:
        return f"{' + '.join(map(str, self.terms))}, reward `{self.reward_mode}`"
