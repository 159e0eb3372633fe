"""How far steps that count as a fraction of one move a weight, worked by hand."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch

from srl_agents.training.partial_step import partial_step

BETAS = [(0.9, 0.999), (0.9, 0.95), (0.5, 0.75)]


def moved(betas: tuple[float, float], steps: list[tuple[float, float]], decay: float = 0.0) -> Any:
    """Where a weight that begins at 1 is after each step, (gradient, share), at a rate of 0.01."""
    weight = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
    optimizer = torch.optim.AdamW(
        [weight], lr=0.01, betas=betas, eps=0.0, weight_decay=decay, fused=True
    )
    places = [1.0]
    for gradient, share in steps:
        weight.grad = torch.tensor([gradient], dtype=torch.float64)
        partial_step(optimizer, share)
        places.append(float(weight.detach()))
    assert optimizer.param_groups[0]["lr"] == 0.01
    assert optimizer.param_groups[0]["betas"] == betas
    return places


@pytest.mark.parametrize("betas", BETAS)
def test_steps_are_as_long_as_their_shares_also_after_many_short_ones(
    betas: tuple[float, float],
) -> None:
    shares = [1.0] * 20 + [0.05] * 30 + [1.0] + [0.5, 0.25] * 3 + [1.0]
    places = moved(betas, [(1.0, share) for share in shares])
    lengths = [(old - new) / 0.01 for old, new in pairwise(places)]
    assert lengths == pytest.approx(shares, rel=1e-4)


def test_a_gradient_of_a_small_share_moves_little_in_later_steps_too() -> None:
    # Gradients of 1 or -1 keep the second mean at 1. One of -1 instead of 1 with share s changes
    # the first by 2 (1 - 0.9^s), which moves the weight s now and 0.9 + 0.81 + ... = 9 later:
    # 2 · 0.1 · 10 = 2 for s = 1, and 2 · 0.00525 · 9.05 = 0.0951 for s = 0.05.
    before, after = [(1.0, 1.0)] * 300, [(1.0, 1.0)] * 300
    found = {}
    for share in (1.0, 0.05):
        ends = [moved((0.9, 0.999), [*before, (g, share), *after])[-1] for g in (-1.0, 1.0)]
        found[share] = (ends[0] - ends[1]) / 0.01
    assert found == pytest.approx({1.0: 2.0, 0.05: 0.0951}, rel=1e-3)


def test_weight_decay_is_scaled_with_the_step() -> None:
    # A whole step takes 0.01 · 0.1 of the weight besides, a quarter of one a quarter of that.
    for share in (1.0, 0.25):
        plain, decayed = (moved((0.9, 0.999), [(1.0, share)], decay)[1] for decay in (0.0, 0.1))
        assert plain - decayed == pytest.approx(0.001 * share)
