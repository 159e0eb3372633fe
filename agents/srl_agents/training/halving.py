"""Halves an update that lost too much."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

_LEAST = 2.0**-6  # an update is not halved any further


@torch.no_grad()
def halve(
    now: Sequence[Tensor], before: Sequence[Tensor], drop: Callable[[], float], most: float
) -> float:
    """Halves the way from ``before`` to ``now`` until the drop is small; the fraction that is left.

    now: the weights, which change in place. drop: measures them. most: that it may be. Source: the
    line search of TRPO, arXiv:1502.05477, appendix C, on another measure.
    """
    fraction = 1.0
    while fraction > _LEAST and drop() > most:
        fraction /= 2
        for weight, old in zip(now, before, strict=True):
            weight.add_(old).div_(2)
    return fraction
