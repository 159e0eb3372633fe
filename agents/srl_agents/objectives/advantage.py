"""How much better a completion is than its group: rewards in, advantages out.

Groups lie flat in one tensor, with a second tensor of group numbers, because they may differ in
size: a failed completion leaves its group.
"""

from __future__ import annotations

import torch
from torch import Tensor

from srl_agents.objectives.choices import Scale
from srl_env.errors import BadOption


def group_advantages(
    rewards: Tensor, groups: Tensor, scale: Scale = "std", eps: float = 1e-6
) -> Tensor:
    """Each reward relative to its own group.

    rewards: (N,) finite. groups: (N,) integers 0 … P−1, the group of each reward.
    scale: "std" divides by the group's population std plus eps (GRPO). "none" only subtracts the
    mean, so that hard problems are not scaled up (Dr. GRPO). "leave-one-out" divides by (G − 1)/G,
    which makes it the distance to the mean of the other members (RLOO). "mean" divides by the
    group's mean reward plus eps, so that the rarer success is, the more one counts (MaxRL).
    Returns (N,) of the rewards' type. Groups with equal rewards are exactly 0.
    Raises ValueError if a reward is not finite or a group has only one member, and BadOption for a
    negative reward under "mean".
    Source: GRPO, arXiv:2402.03300, section 4.1; Dr. GRPO, arXiv:2503.20783; RLOO,
    arXiv:2402.14740; MaxRL, arXiv:2602.02710.
    """
    if not torch.isfinite(rewards).all():
        raise ValueError("a reward is not finite; failed completions must leave their group first")
    counts = torch.bincount(groups)
    if (counts == 1).any():
        raise ValueError("a group of one has nothing to compare with; drop it first")
    if not len(rewards):
        return rewards
    counts = counts.clamp(min=1).to(rewards.dtype)
    zeros = rewards.new_zeros(len(counts))
    # Subtract the group's minimum first. Equal rewards then give exactly 0, without rounding.
    lowest = zeros.scatter_reduce(0, groups, rewards, "amin", include_self=False)
    above = rewards - lowest[groups]
    centred = above - (zeros.index_add(0, groups, above) / counts)[groups]
    if scale == "none":
        return centred
    if scale == "leave-one-out":
        return centred * (counts / (counts - 1))[groups]
    if scale == "mean":
        if lowest.min() < 0:
            raise BadOption(
                f"rewards under scale 'mean' must be at least 0; got {float(lowest.min()):g}. Fix:"
                " choose a reward_mode without negative rewards, or another scale"
            )
        return centred / ((zeros.index_add(0, groups, rewards) / counts)[groups] + eps)
    std = (zeros.index_add(0, groups, centred.square()) / counts).sqrt()
    return centred / (std[groups] + eps)
