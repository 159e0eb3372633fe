"""Group-relative policy optimisation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Gt, Le

from srl_agents.objectives.base import Scores
from srl_agents.objectives.choices import SamplerCorrection, Scale
from srl_agents.objectives.sampled import Sampled

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class GRPO(Sampled):
    """Group-relative policy gradient on the policy's own completions (arXiv:2402.03300).

    scale: divides advantages by the group's std, by nothing, by (G − 1)/G ("leave-one-out") or by
    the group's mean reward. clip_low, clip_high: the ratio of new to old probability is clipped to
    1 − clip_low … 1 + clip_high.
    passes: how often each batch is trained on. minibatches: how many optimiser steps a pass makes,
    each on part of the groups. With one pass and one minibatch, updates are on-policy.
    sampler_correction: multiplies each token by the ratio of the trainer's probability to the
    sampler's: that of the token, or of the whole completion ("sequence-"). A ratio above
    ``sampler_cap`` is truncated to it ("-tis"), or the token or completion is masked ("-mis"). None
    trusts the sampler's log-probs. sampler_cap: the largest ratio that is used.
    kl: coefficient of the KL to the run's first weights. entropy: coefficient of the entropy bonus.
    max_drop: the largest fraction of its probability that a unanimous completion may lose in an
    update. An update that takes more is halved, at most six times. If all completions of a group
    are identical, the group has zero advantage, so nothing else stops an update from making that
    completion unlikely, whether it is correct or not. None needs no copy of the weights.
    """

    kind: str = "grpo"
    scale: Scale = "std"
    clip_low: Annotated[float, Ge(0), Le(1)] = 0.2
    clip_high: Annotated[float, Ge(0)] = 0.2
    passes: Annotated[int, Ge(1)] = 1
    minibatches: Annotated[int, Ge(1)] = 1
    sampler_correction: SamplerCorrection | None = None
    sampler_cap: Annotated[float, Gt(0)] = 2.0
    kl: Annotated[float, Ge(0)] = 0.0
    entropy: Annotated[float, Ge(0)] = 0.0
    max_drop: Annotated[float | None, Ge(0.01), Le(0.99)] = None

    def advantages(self, rewards: Tensor, groups: Tensor) -> Tensor:
        """Each reward relative to its group."""
        from srl_agents.objectives.advantage import group_advantages

        return group_advantages(rewards, groups, self.scale)

    @property
    def needs_reference(self) -> bool:
        """Whether the KL is part of the loss."""
        return self.kl > 0

    def needs_old_logprobs(self, steps: int) -> bool:
        """Off-policy steps and the sampler correction need them."""
        return self.passes * steps > 1 or self.sampler_correction is not None

    def loss_terms(self, scores: Scores) -> Iterator[Tensor]:
        """The clipped policy gradient, the KL, and the entropy bonus."""
        from srl_agents.objectives import loss

        policy = self.policy_term(scores)
        if self.sampler_correction is not None:
            ratio = self._sampler_ratio(scores, self.sampler_correction)
            policy = policy * loss.capped(ratio, self.sampler_correction, self.sampler_cap)
        yield policy
        if self.kl:
            assert scores.reference is not None, "needs_reference asks for it"
            yield self.kl * loss.kl_estimate(scores.logprobs, scores.reference)
        if self.entropy:
            yield self.entropy * loss.entropy_bonus(scores.logprobs)

    def policy_term(self, scores: Scores) -> Tensor:
        """The policy gradient's term, (B, T)."""
        from srl_agents.objectives.loss import clipped_surrogate

        logprobs, old = self.compared(scores)
        return clipped_surrogate(logprobs, scores.advantages, old, self.clip_low, self.clip_high)

    def compared(self, scores: Scores) -> tuple[Tensor, Tensor | None]:
        """The log-probs (B, T) whose ratio is clipped: new and old, None if those are the same."""
        return scores.logprobs, scores.old

    def numbers(self, scores: Scores) -> dict[str, Tensor]:
        """How many tokens have a ratio outside the clip, or one to the sampler above its cap."""
        logprobs, old = self.compared(scores)
        if old is None:
            return {}
        ratio = (logprobs.detach() - old).exp()
        outside = {"clipped": (ratio < 1 - self.clip_low) | (ratio > 1 + self.clip_high)}
        if self.sampler_correction is not None:
            to_sampler = self._sampler_ratio(scores, self.sampler_correction)
            outside["sampler_capped"] = to_sampler > self.sampler_cap
        return {f"{k}_fraction": (v & scores.mask).sum().float() for k, v in outside.items()}

    @staticmethod
    def _sampler_ratio(scores: Scores, correction: SamplerCorrection) -> Tensor:
        """The trainer's probability divided by the sampler's, (B, T)."""
        from srl_agents.objectives.loss import sampler_ratio

        assert scores.old is not None, "needs_old_logprobs asks for it"
        assert scores.sampled is not None, "completions were sampled"
        return sampler_ratio(scores.old, scores.sampled, scores.mask, correction)
