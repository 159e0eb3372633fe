"""Divergences from a teacher, worked by hand."""

from __future__ import annotations

from math import exp, log

import pytest
import torch

from srl_agents.objectives.choices import Divergence
from srl_agents.objectives.divergence import divergence, divergence_estimate, evidence_weights

POLICY, TEACHER = (0.5, 0.25, 0.25), (0.25, 0.25, 0.5)
BY_HAND: dict[Divergence, float] = {
    "forward": 0.25 * log(0.5) + 0.5 * log(2),  # Σ T log(T/S) = 0.25 log 2
    "reverse": 0.5 * log(2) + 0.25 * log(0.5),
    "jsd": 0.5 * (0.25 * log(2 / 3) + 0.5 * log(4 / 3)) * 2,  # m = (3, 2, 3)/8, symmetric
}


def logs(*probabilities: float) -> torch.Tensor:
    return torch.tensor(probabilities, dtype=torch.float64).log()


@pytest.mark.parametrize("kind", BY_HAND)
def test_divergences_worked_by_hand(kind: Divergence) -> None:
    found = divergence(logs(*POLICY), logs(*TEACHER), kind)
    assert float(found) == pytest.approx(BY_HAND[kind])
    assert float(divergence(logs(*POLICY), logs(*POLICY), kind)) == pytest.approx(0, abs=1e-12)


def test_jsd_weighs_the_teacher_by_beta() -> None:
    ours, theirs = (0.5, 0.5), (0.25, 0.75)  # m = 0.2 T + 0.8 S = (0.45, 0.55)
    by_hand = 0.2 * (0.25 * log(0.25 / 0.45) + 0.75 * log(0.75 / 0.55))
    by_hand += 0.8 * (0.5 * log(0.5 / 0.45) + 0.5 * log(0.5 / 0.55))
    assert float(divergence(logs(*ours), logs(*theirs), "jsd", 0.2)) == pytest.approx(by_hand)


def test_a_clip_bounds_what_one_entry_of_the_vocabulary_adds() -> None:
    found = divergence(logs(*POLICY), logs(*TEACHER), "forward", clip=0.1)
    assert float(found) == pytest.approx(0.25 * log(0.5) + 0 + 0.1)


@pytest.mark.parametrize("kind", ["forward", "reverse"])
def test_the_estimate_has_the_gradient_of_the_divergence(kind: Divergence) -> None:
    logits = logs(*POLICY).requires_grad_()
    exact = divergence(logits.log_softmax(-1), logs(*TEACHER), kind)
    (expected,) = torch.autograd.grad(exact, logits)
    terms = divergence_estimate(logits.log_softmax(-1), logs(*TEACHER), kind)
    mean = (torch.tensor(POLICY, dtype=torch.float64) * terms).sum()  # over sampled tokens
    (found,) = torch.autograd.grad(mean, logits)
    torch.testing.assert_close(found, expected)


def test_estimates_worked_by_hand() -> None:
    ours, theirs = logs(0.5, 0.5), logs(0.25, 0.5)
    reverse = divergence_estimate(ours, theirs, "reverse")
    assert reverse.tolist() == pytest.approx([log(2) ** 2 / 2, 0])
    forward = divergence_estimate(ours, theirs, "forward", clip=0.1)
    assert forward.tolist() == pytest.approx([0.1, 0])  # 1/2 + log 2 − 1 = 0.19


def test_evidence_of_the_teacher_raises_credit_and_lowers_blame() -> None:
    ours = torch.tensor([[log(0.5), log(0.5)]] * 2, dtype=torch.float64, requires_grad=True)
    theirs = torch.tensor([[log(0.55), log(0.1)]] * 2, dtype=torch.float64)
    found = evidence_weights(ours, theirs, torch.tensor([[1.0], [-1.0]]), 0.2)
    assert found.tolist() == [pytest.approx([1.1, 0.8]), pytest.approx([1 / 1.1, 1.2])]
    assert not found.requires_grad
    assert exp(log(0.55) - log(0.5)) == pytest.approx(1.1)
