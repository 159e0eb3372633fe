"""Losses and their gradients worked by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from srl_agents.objectives import NLL, Scores
from srl_agents.objectives.choices import Aggregation, SamplerCorrection
from srl_agents.objectives.loss import (
    aggregate,
    capped,
    clipped_surrogate,
    completion_weights,
    entropy_bonus,
    kl_estimate,
    overlong_penalty,
    sampler_ratio,
    sequence_means,
    weighted_likelihood,
)


def doubles(*rows: list[float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def test_on_policy_the_gradient_is_that_of_the_advantage_times_the_log_prob() -> None:
    logprobs = doubles([-0.5, -2.0], [-1.0, -3.0]).requires_grad_()
    terms = clipped_surrogate(logprobs, torch.tensor([2.0, -1.0], dtype=torch.float64))
    assert terms.tolist() == [[-2, -2], [1, 1]]
    terms.sum().backward()
    assert logprobs.grad is not None
    assert logprobs.grad.tolist() == [[-2, -2], [1, 1]]


@pytest.mark.parametrize(
    ("ratio", "advantage", "term", "moves"),
    [
        (1.5, 1.0, -1.2, False),  # already much likelier: clipped, no gradient
        (1.5, -1.0, 1.5, True),  # likelier and bad: the full push down
        (0.5, 1.0, -0.5, True),  # less likely and good: the full push up
        (0.5, -1.0, 0.8, False),  # already much less likely: clipped
        (1.1, 1.0, -1.1, True),  # inside the clip
    ],
)
def test_off_policy_the_ratio_is_clipped_on_the_side_it_gains(
    ratio: float, advantage: float, term: float, moves: bool
) -> None:
    logprobs = doubles([math.log(ratio) - 1]).requires_grad_()
    terms = clipped_surrogate(
        logprobs, torch.tensor([advantage], dtype=torch.float64), old_logprobs=doubles([-1.0])
    )
    assert terms.item() == pytest.approx(term)
    terms.sum().backward()
    assert logprobs.grad is not None
    assert (logprobs.grad.item() != 0) == moves
    if moves:
        assert logprobs.grad.item() == pytest.approx(-ratio * advantage)


def test_clip_higher_widens_the_upper_side_alone() -> None:
    old = doubles([0.0], [0.0])
    logprobs = doubles([math.log(1.5)], [math.log(0.5)])
    advantages = torch.tensor([1.0, -1.0], dtype=torch.float64)
    terms = clipped_surrogate(logprobs, advantages, old, clip_low=0.2, clip_high=0.28)
    assert terms.flatten().tolist() == pytest.approx([-1.28, 0.8])


# The trainer's probabilities over the sampler's are 1/2, 3 and 1; padding holds anything.
OLD, SAMPLED = (
    doubles([math.log(0.2), math.log(0.9), -1.0]),
    doubles([math.log(0.4), math.log(0.3)]),
)
REAL = torch.tensor([[True, True, False]])


@pytest.mark.parametrize(
    ("correction", "cap", "weights"),
    [
        ("token-tis", 2.0, [0.5, 2.0]),
        ("token-mis", 2.0, [0.5, 0.0]),
        ("token-mis", 3.1, [0.5, 3.0]),
        ("sequence-tis", 2.0, [1.5, 1.5]),  # the product of both
        ("sequence-tis", 1.2, [1.2, 1.2]),
        ("sequence-mis", 2.0, [1.5, 1.5]),
        ("sequence-mis", 1.2, [0.0, 0.0]),
    ],
)
def test_the_sampler_is_corrected_for_by_token_or_completion_truncated_or_masked(
    correction: SamplerCorrection, cap: float, weights: list[float]
) -> None:
    old = OLD.clone().requires_grad_()
    sampled = torch.cat([SAMPLED, doubles([7.0])], 1)
    found = capped(sampler_ratio(old, sampled, REAL, correction), correction, cap)
    assert found[0, :2].tolist() == pytest.approx(weights)
    assert not found.requires_grad


def test_a_ratio_too_large_for_a_number_is_cut_or_masked() -> None:
    far = sampler_ratio(doubles([0.0]), doubles([-1e4]), torch.tensor([[True]]), "sequence-tis")
    assert capped(far, "sequence-tis", 2.0).tolist() == [[2.0]]
    assert capped(far, "sequence-mis", 2.0).tolist() == [[0.0]]


def test_the_mean_log_prob_of_a_completion_stands_at_each_of_its_tokens() -> None:
    logprobs = doubles([-1.0, -2.0, 9.0], [-4.0, math.nan, math.inf])
    mask = torch.tensor([[True, True, False], [True, False, False]])
    assert sequence_means(logprobs, mask).tolist() == [[-1.5] * 3, [-4.0] * 3]


@pytest.mark.parametrize(
    ("ratio", "weight"), [(3.0, 3.0), (8.0, 5.0), (0.01, 0.01)], ids=["inside", "high", "low"]
)
def test_a_clipped_weight_keeps_the_gradient_of_its_token(ratio: float, weight: float) -> None:
    logprobs = doubles([math.log(ratio) - 3.0]).requires_grad_()
    terms = weighted_likelihood(logprobs, doubles([2.0])[0], doubles([-3.0]), 1.0, 4.0)
    assert terms.item() == pytest.approx(-weight * 2.0 * (math.log(ratio) - 3.0))
    terms.sum().backward()
    assert logprobs.grad is not None
    assert logprobs.grad.item() == pytest.approx(-weight * 2.0)


@pytest.mark.parametrize(
    ("length", "penalty"), [(0, 0), (16, 0), (17, -0.25), (18, -0.5), (20, -1), (25, -1)]
)
def test_the_last_tokens_cost_up_to_one(length: int, penalty: float) -> None:
    assert overlong_penalty(length, longest=20, band=4) == penalty


def test_without_a_band_no_length_costs_anything() -> None:
    assert overlong_penalty(20, longest=20, band=0) == 0


def test_the_kl_estimate_is_zero_at_the_reference_and_positive_elsewhere() -> None:
    same = doubles([-1.0, -2.0])
    assert kl_estimate(same, same).tolist() == [[0.0, 0.0]]
    # log reference − log π = log 2: 2 − log 2 − 1.
    value = kl_estimate(doubles([math.log(0.25)]), doubles([math.log(0.5)]))
    assert value.item() == pytest.approx(1 - math.log(2))


def test_the_kl_estimate_is_unbiased() -> None:
    policy = torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64)
    reference = torch.tensor([0.3, 0.3, 0.4], dtype=torch.float64)
    estimate = (policy * kl_estimate(policy.log(), reference.log())).sum()
    exact = (policy * (policy / reference).log()).sum()
    assert estimate.item() == pytest.approx(exact.item())


def test_the_entropy_bonus_has_minus_the_entropys_gradient_in_expectation() -> None:
    logits = torch.tensor([0.3, -1.0, 0.7, 0.0], dtype=torch.float64, requires_grad=True)
    logprobs = logits.log_softmax(0)
    (-(logprobs.exp() * logprobs)).sum().backward()
    assert logits.grad is not None
    exact, logits.grad = -logits.grad, None
    logprobs = logits.log_softmax(0)
    (logprobs.exp().detach() * entropy_bonus(logprobs)).sum().backward()
    torch.testing.assert_close(logits.grad, exact)


def test_likelihood_is_minus_the_log_prob() -> None:
    logprobs = doubles([-1.0, -2.0])
    (term,) = NLL().loss_terms(Scores(logprobs, logprobs < 0, doubles([1.0])))
    assert term.tolist() == [[1.0, 2.0]]


# Three completions of 2, 1 and 3 tokens; the last two are the steps of one sequence.
LENGTHS, SEQUENCES = torch.tensor([2, 1, 3]), torch.tensor([0, 1, 1])


@pytest.mark.parametrize(
    ("aggregation", "expected"),
    [
        ("sequence", [1 / (2 * 2), 1 / (2 * 4), 1 / (2 * 4)]),
        ("token", [1 / 6, 1 / 6, 1 / 6]),
        ("constant", [1 / (2 * 10)] * 3),
    ],
)
def test_weights_of_each_aggregation(aggregation: Aggregation, expected: list[float]) -> None:
    weights = completion_weights(LENGTHS, SEQUENCES, aggregation, constant_length=10)
    assert weights.tolist() == pytest.approx(expected)


@pytest.mark.parametrize("aggregation", ["sequence", "token"])
def test_the_mean_of_a_constant_is_the_constant(aggregation: Aggregation) -> None:
    weights = completion_weights(LENGTHS, SEQUENCES, aggregation)
    mask = torch.arange(3) < LENGTHS.unsqueeze(1)
    assert aggregate(torch.full((3, 3), 7.0).double(), mask, weights).item() == pytest.approx(7)


def test_constant_aggregation_needs_its_length() -> None:
    with pytest.raises(ValueError, match="constant_length"):
        completion_weights(LENGTHS, SEQUENCES, "constant")


def test_padding_never_reaches_the_loss_or_its_gradient() -> None:
    terms = doubles([1.0, math.inf], [2.0, math.nan]).requires_grad_()
    mask = torch.tensor([[True, False], [True, False]])
    loss = aggregate(terms, mask, torch.tensor([0.5, 0.5], dtype=torch.float64))
    assert loss.item() == 1.5
    loss.backward()
    assert terms.grad is not None
    assert terms.grad.tolist() == [[0.5, 0.0], [0.5, 0.0]]
