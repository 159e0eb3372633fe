"""How much better a completion is than its group: rewards in, advantages out.

Groups lie flat in one tensor, with a second tensor of group numbers, because they may differ in
size: a failed completion leaves its group.
"""

from __future__ import annotations

import torch
from torch import Tensor

from srl_agents.objectives.choices import Scale


def group_advantages(
    rewards: Tensor, groups: Tensor, scale: Scale = "std", eps: float = 1e-6
) -> Tensor:
    """Each reward relative to its own group.

    rewards: (N,) finite. groups: (N,) integers 0 … P−1, the group of each reward.
    scale: "std" divides by the group's population std plus eps (GRPO). "none" only subtracts the
    mean, so that hard problems are not scaled up (Dr. GRPO).
    Returns (N,) of the rewards' type. Groups with equal rewards are exactly 0.
    Raises ValueError if a reward is not finite or a group has only one member.
    Source: GRPO, arXiv:2402.03300, section 4.1; Dr. GRPO, arXiv:2503.20783.
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
    std = (zeros.index_add(0, groups, centred.square()) / counts).sqrt()
    return centred / (std[groups] + eps)
