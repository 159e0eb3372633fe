"""How often an update is halved, with weights of one number."""

from __future__ import annotations

import pytest
import torch

from srl_agents.training.halving import halve


@pytest.mark.parametrize(
    ("most", "left"), [(8.0, 1.0), (4.0, 0.5), (3.9, 0.25), (0.3, 0.03125), (0.0, 2.0**-6)]
)
def test_an_update_is_halved_until_it_drops_little_enough_but_not_for_ever(
    most: float, left: float
) -> None:
    weight, before = torch.tensor([18.0]), torch.tensor([10.0])  # the way is 8
    assert halve([weight], [before], lambda: float(weight - before), most) == left
    assert weight.item() == 10 + 8 * left
