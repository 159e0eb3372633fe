"""Advantages worked by hand."""

from __future__ import annotations

import itertools
import math
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from srl_agents.objectives.advantage import group_advantages
from srl_agents.objectives.choices import Scale
from srl_env.errors import BadOption


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


def test_leave_one_out_compares_with_the_mean_of_the_others() -> None:
    # 6 against (2 + 1) / 2, 2 against 7 / 2, 1 against 8 / 2; and 3 against 5.
    rewards, groups = doubles(6, 2, 1, 3, 5), torch.tensor([0, 0, 0, 1, 1])
    found = group_advantages(rewards, groups, scale="leave-one-out")
    torch.testing.assert_close(found, doubles(4.5, -1.5, -3, -2, 2))


def test_division_by_the_mean_weighs_a_success_by_how_rare_it_is() -> None:
    # One of four: (1 − 1/4) / (1/4) = 3 and −1. Three of four: 1/3 and −1.
    rewards, groups = doubles(1, 0, 0, 0, 1, 1, 1, 0), torch.tensor([0] * 4 + [1] * 4)
    found = group_advantages(rewards, groups, scale="mean", eps=0.0)
    torch.testing.assert_close(found, doubles(3, -1, -1, -1, 1 / 3, 1 / 3, 1 / 3, -1))


def test_without_any_success_division_by_the_mean_gives_zero() -> None:
    zero = torch.zeros(3, dtype=torch.long)
    assert group_advantages(doubles(0, 0, 0), zero, scale="mean").tolist() == [0, 0, 0]


def test_division_by_the_mean_refuses_negative_rewards() -> None:
    with pytest.raises(BadOption, match="scale 'mean' must be at least 0; got -1"):
        group_advantages(doubles(1, -1), torch.tensor([0, 0]), scale="mean")


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("p", [0.1, 0.7])
def test_divided_by_the_mean_the_gradient_is_that_of_pass_at_k_over_k(p: float, size: int) -> None:
    """A policy of one number p, the chance of success: ∇log p = 1/p and ∇log(1 − p) = −1/(1 − p).

    pass@k = 1 − (1 − p)^k, so ∇pass@k / k = (1 − p)^(k − 1); summed over k = 1 … G − 1.
    """
    expected, zero = 0.0, torch.zeros(size, dtype=torch.long)
    for outcome in itertools.product((0.0, 1.0), repeat=size):
        chance = math.prod(p if won else 1 - p for won in outcome)
        scores = doubles(*(1 / p if won else -1 / (1 - p) for won in outcome))
        advantages = group_advantages(doubles(*outcome), zero, scale="mean", eps=1e-12)
        expected += chance * float((advantages * scores).mean())
    assert expected == pytest.approx(sum((1 - p) ** (k - 1) for k in range(1, size)))


@given(st.floats(-1, 1), st.integers(2, 64), st.sampled_from(get_args(Scale)))
def test_equal_rewards_give_exactly_zero(reward: float, size: int, scale: Scale) -> None:
    reward = abs(reward) if scale == "mean" else reward
    rewards, groups = doubles(*[reward] * size), torch.zeros(size, dtype=torch.long)
    assert group_advantages(rewards, groups, scale).tolist() == [0.0] * size


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
