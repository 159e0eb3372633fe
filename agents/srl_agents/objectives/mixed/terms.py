"""A term of the loss: on which rows, when, and how a token's probability counts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge, Gt, Le

from srl_agents.checked import Checked
from srl_agents.objectives.base import Scores
from srl_agents.objectives.groups import Group

if TYPE_CHECKING:
    from torch import Tensor

Gate = Literal["always", "any-correct", "all-failed"]
"""When: in every group, in those with a correct episode of the policy, or in those with none."""

_ROUNDING = 1e-9  # so that 0.2 of 15 is not 2.999…


@dataclass(frozen=True, slots=True)
class LossTerm(Checked):
    """One term of a mixed objective, the mean over its own tokens.

    kind: "policy-gradient", or "nll", −log p. rows: whose tokens: the policy's "own", the
    "expert"'s, or "all". when: in which groups, by the verifier's verdicts on the policy's
    episodes; an infrastructure failure has no verdict and opens nothing. weight: of the term.
    ratio: how a policy gradient counts a token's probability π with advantage A: "clipped", as
    GRPO does, with its KL and entropy; "none", −A·log π; "shaped", −A·π / (π + gamma); "mixture",
    −A·2π / (π_ω + π_old)·(1 − π)^gamma with π_ω = (π_old + 1) / 2. gamma: of these two.
    top_entropy: this fraction of each completion's tokens alone, those of the highest entropy; at
    least one.
    """

    kind: Literal["policy-gradient", "nll"] = "policy-gradient"
    rows: Literal["own", "expert", "all"] = "own"
    when: Gate = "always"
    weight: Annotated[float, Gt(0)] = 1.0
    ratio: Literal["clipped", "none", "shaped", "mixture"] = "clipped"
    gamma: Annotated[float, Ge(0)] = 0.1
    top_entropy: Annotated[float, Gt(0), Le(1)] = 1.0

    def tokens(self, group: Group, length: int, given: int) -> int:
        """How many tokens of a completion it has. given: of its length, the expert's."""
        count = {"own": length - given, "expert": given, "all": length}[self.rows]
        return self._kept(count) if count and gate_opens(self.when, group) else 0

    def imitates(self, group: Group) -> bool:
        """Whether it learns from a group's demonstration whatever the rewards are."""
        rows = (*group.members, *group.beside)
        has_expert = any(sum(row.given) for row in rows)
        reads = self.kind == "nll" and self.rows != "own"
        return reads and has_expert and gate_opens(self.when, group)

    def chosen(self, scores: Scores) -> Tensor:
        """Its tokens, (B, T)."""
        import torch

        expert = scores.expert
        if expert is None:
            expert = torch.zeros_like(scores.mask)
        chosen = {"own": scores.mask & ~expert, "expert": expert, "all": scores.mask}[self.rows]
        if self.top_entropy == 1:
            return chosen
        assert scores.entropy is not None, "the learner gives it"
        entropy = scores.entropy.masked_fill(~chosen, -1.0)
        rank = entropy.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
        kept = torch.tensor([self._kept(count) for count in chosen.sum(1).tolist()])
        return chosen.logical_and(rank < kept.to(rank.device).unsqueeze(1))

    def losses(self, scores: Scores, clipped: Callable[[Scores], Tensor]) -> Tensor:
        """The term of every token, (B, T). clipped: computes GRPO's own."""
        from srl_agents.objectives import loss

        logprobs, advantages, old = scores.logprobs, scores.advantages, scores.old
        if self.kind == "nll":
            return -logprobs
        if self.ratio == "none":
            return -logprobs * advantages.unsqueeze(1)
        if self.ratio == "shaped":
            return loss.shaped_policy_gradient(logprobs, advantages, self.gamma)
        if self.ratio == "mixture":
            return loss.mixture_policy_gradient(logprobs, advantages, old, self.gamma)
        return clipped(scores)

    def __str__(self) -> str:
        what = "likelihood" if self.kind == "nll" else f"{self.ratio} policy gradient"
        if self.ratio == "none" and self.kind != "nll":
            what = "policy gradient"
        when = {"always": "", "any-correct": " if any is correct", "all-failed": " if all failed"}
        return f"{what} on {self.rows} rows{when[self.when]}"

    def _kept(self, count: int) -> int:
        return max(1, math.floor(self.top_entropy * count + _ROUNDING))


def gate_opens(gate: Gate, group: Group) -> bool:
    """Whether the verdicts on a group's sampled members open a gate."""
    return verdicts_open(gate, [member.correct for member in group.sampled])


def verdicts_open(gate: Gate, verdicts: Sequence[bool | None]) -> bool:
    """Whether verdicts open a gate; None, for an episode without one, says nothing."""
    known = [verdict for verdict in verdicts if verdict is not None]
    if gate == "any-correct":
        return any(known)
    return gate == "always" or (bool(known) and not any(known))
