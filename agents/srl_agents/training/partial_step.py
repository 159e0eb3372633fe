"""A step of AdamW that counts as a fraction of one."""

from __future__ import annotations

import torch


def partial_step(optimizer: torch.optim.Optimizer, fraction: float) -> None:
    """A step of AdamW that counts as a ``fraction`` of one, 0 < fraction ≤ 1.

    The learning rate is multiplied by the fraction, and with it the weight decay. The running
    means move by a fraction of a step: the betas are raised to its power, and the step counter
    grows by it. So an uncertain gradient moves the weights little, now and, through the means,
    later. Scaling the gradient would do neither: Adam divides the scale out.
    """
    if fraction == 1:
        optimizer.step()
        return
    before = [(group["lr"], group["betas"]) for group in optimizer.param_groups]
    for group, (lr, betas) in zip(optimizer.param_groups, before, strict=True):
        group["lr"], group["betas"] = lr * fraction, tuple(beta**fraction for beta in betas)
    for state in optimizer.state.values():
        state["step"].div_(fraction)  # counted in steps of this length, as the betas now are
    optimizer.step()
    for state in optimizer.state.values():
        state["step"].mul_(fraction)
    for group, (lr, betas) in zip(optimizer.param_groups, before, strict=True):
        group["lr"], group["betas"] = lr, betas
