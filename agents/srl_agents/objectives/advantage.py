"""How much better than its group: rewards in, advantages out.

Pure functions of tensors. What a group is (the completions of one problem, or of one step
of one problem) is decided in ``srl_agents.objectives.groups``; what an advantage does to the model,
in ``srl_agents.objectives.loss``. Groups lie flat in one tensor with a second one that numbers
them, because a failed completion leaves its group and so groups need not be equally large.
"""

from __future__ import annotations

import torch
from torch import Tensor

from srl_agents.methods.stages import Scale


def group_advantages(
    rewards: Tensor, groups: Tensor, scale: Scale = "std", eps: float = 1e-6
) -> Tensor:
    """Each reward relative to its own group.

    rewards: (N,) finite. groups: (N,) integers 0 … P−1, the group of each reward.
    scale: "std" divides by the group's population deviation plus eps (GRPO); "none" only
    subtracts the mean, so that hard problems are not blown up (Dr. GRPO).
    Returns (N,) of the rewards' type; groups with equal rewards are exactly 0.
    Raises ValueError where a reward is not finite or a group has fewer than two.
    Source: GRPO, arXiv:2402.03300, section 4.1; Dr. GRPO, arXiv:2503.20783.
    """
    _check(rewards, groups)
    centred, deviation = _centred(rewards, groups)
    if scale == "none":
        return centred
    return centred / (deviation[groups] + eps)


def group_stds(rewards: Tensor, groups: Tensor) -> Tensor:
    """The population standard deviation sqrt(Σ(r − r̄)²/G) of each group.

    rewards, groups: as in ``group_advantages``, but groups may have one member or none.
    Returns (P,), P = the largest group number + 1; exactly 0 for equal rewards, one or none.
    Source: the filter of SRL, arXiv:2510.25992, section 3.3.
    """
    return _centred(rewards, groups)[1]


def _check(rewards: Tensor, groups: Tensor) -> None:
    if not torch.isfinite(rewards).all():
        raise ValueError("a reward is not finite; failed completions must leave their group first")
    counts = torch.bincount(groups)
    if ((counts > 0) & (counts < 2)).any():
        raise ValueError("a group of one has nothing to compare with; drop it first")


def _centred(rewards: Tensor, groups: Tensor) -> tuple[Tensor, Tensor]:
    """Rewards less their group's mean (N,), and each group's population deviation (P,)."""
    if not len(rewards):
        return rewards, rewards
    size = int(groups.max()) + 1
    counts = torch.bincount(groups, minlength=size).clamp(min=1).to(rewards.dtype)
    # Distances from the group's minimum first: equal rewards then give exactly 0, where
    # their sum divided by their count may be off by a rounding.
    lowest = torch.full((size,), torch.inf, dtype=rewards.dtype, device=rewards.device)
    above = rewards - lowest.scatter_reduce(0, groups, rewards, "amin")[groups]
    zeros = torch.zeros(size, dtype=rewards.dtype, device=rewards.device)
    centred = above - (zeros.index_add(0, groups, above) / counts)[groups]
    variance = zeros.index_add(0, groups, centred.square()) / counts
    return centred, variance.sqrt()
