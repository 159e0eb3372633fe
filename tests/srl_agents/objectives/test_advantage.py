"""Advantages worked by hand."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from srl_agents.objectives.advantage import group_advantages


def doubles(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_rewards_are_compared_with_their_own_group_only() -> None:
    rewards = doubles(1, 0, 0, 0, 10, 12)
    groups = torch.tensor([0, 0, 0, 0, 1, 1])
    # Group 0: mean 1/4, std sqrt((9/16 + 3/16) / 4) = sqrt(3)/4. Group 1: 11 and 1.
    high, low = 3 / math.sqrt(3), -1 / math.sqrt(3)
    expected = doubles(high, low, low, low, -1, 1)
    torch.testing.assert_close(group_advantages(rewards, groups, eps=0.0), expected)


def test_a_lone_success_of_eight_has_advantage_2_65_and_0_875_without_scaling() -> None:
    rewards, groups = doubles(1, *[0] * 7), torch.zeros(8, dtype=torch.long)
    assert group_advantages(rewards, groups, eps=0.0)[0].item() == pytest.approx(math.sqrt(7))
    assert group_advantages(rewards, groups, scale="none")[0].item() == pytest.approx(0.875)


@given(st.floats(-1, 1), st.integers(2, 64))
def test_equal_rewards_give_exactly_zero(reward: float, size: int) -> None:
    rewards, groups = doubles(*[reward] * size), torch.zeros(size, dtype=torch.long)
    assert group_advantages(rewards, groups).tolist() == [0.0] * size


def test_groups_may_lie_in_any_order_and_have_any_size() -> None:
    rewards, groups = doubles(1, 5, 3, 5, 5), torch.tensor([1, 0, 1, 0, 0])
    assert group_advantages(rewards, groups, scale="none").tolist() == [-1, 0, 1, 0, 0]


def test_no_rewards_give_no_advantages() -> None:
    empty = torch.tensor([], dtype=torch.long)
    assert group_advantages(doubles(), empty).shape == (0,)


def test_a_group_of_one_is_refused() -> None:
    with pytest.raises(ValueError, match="group of one"):
        group_advantages(doubles(1, 2, 3), torch.tensor([0, 1, 1]))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_reward_that_is_not_finite_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        group_advantages(doubles(1, bad), torch.tensor([0, 0]))
