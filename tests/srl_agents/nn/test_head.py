"""The head in parts: values and exact gradients, against the whole logits in fp64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from srl_agents.nn.head import Head

ROWS, WIDTH, VOCABULARY = 7, 5, 11


def inputs(bias: bool, dtype: torch.dtype = torch.float64) -> tuple[Tensor, nn.Linear, Tensor]:
    torch.manual_seed(0)
    hidden = torch.randn(ROWS, WIDTH, dtype=dtype, requires_grad=True)
    return hidden, nn.Linear(WIDTH, VOCABULARY, bias, dtype=dtype), torch.arange(ROWS)


def expected(
    hidden: Tensor, matrix: nn.Linear, target: Tensor, how: Head, temperature: float
) -> tuple[Tensor, Tensor]:
    """In the inputs' dtype, written as in a textbook."""
    logits = matrix(hidden) / how.divisor
    if how.softcap is not None:
        logits = how.softcap * torch.tanh(logits / how.softcap)
    found = torch.distributions.Categorical(logits=logits / temperature)
    return found.log_prob(target), found.entropy()


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("divisor", "softcap", "temperature"), [(1.0, None, 1.0), (2.0, None, 0.7), (1.5, 0.8, 1.3)]
)
def test_parts_have_the_exact_gradient(
    monkeypatch: pytest.MonkeyPatch,
    bias: bool,
    divisor: float,
    softcap: float | None,
    temperature: float,
) -> None:
    monkeypatch.setattr("srl_agents.nn.head.LOGITS_AT_ONCE", 3 * VOCABULARY)
    hidden, matrix, target = inputs(bias)
    head = Head(matrix, divisor, softcap)
    weights = torch.linspace(-1, 2, ROWS, dtype=torch.float64)
    parameters = [hidden, *matrix.parameters()]

    found, entropy = head.scores(hidden, target, temperature)
    gradients = torch.autograd.grad((found * weights).sum(), parameters)
    wanted, wanted_entropy = expected(hidden, matrix, target, head, temperature)
    wanted_gradients = torch.autograd.grad((wanted * weights).sum(), parameters)

    torch.testing.assert_close(found.double(), wanted, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(entropy.double(), wanted_entropy, atol=1e-6, rtol=1e-6)
    for gradient, wanted_gradient in zip(gradients, wanted_gradients, strict=True):
        torch.testing.assert_close(gradient, wanted_gradient, atol=1e-12, rtol=1e-12)


def test_a_frozen_head_gets_no_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srl_agents.nn.head.LOGITS_AT_ONCE", 1)
    hidden, matrix, target = inputs(bias=True)
    matrix.requires_grad_(False)
    head = Head(matrix)
    (found,) = torch.autograd.grad(head.scores(hidden, target, 1.0)[0].sum(), [hidden])
    (wanted,) = torch.autograd.grad(expected(hidden, matrix, target, head, 1.0)[0].sum(), [hidden])
    torch.testing.assert_close(found, wanted, atol=1e-12, rtol=1e-12)
    assert matrix.weight.grad is None


def test_autocast_computes_parts_in_its_dtype(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srl_agents.nn.head.LOGITS_AT_ONCE", 3 * VOCABULARY)
    hidden, matrix, target = inputs(bias=True, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        found, _ = Head(matrix).scores(hidden, target, 1.0)
    found.sum().backward()
    wanted, _ = expected(hidden, matrix, target, Head(matrix), 1.0)
    torch.testing.assert_close(found, wanted, atol=0.05, rtol=0.05)
    assert found.dtype == matrix.weight.grad.dtype == torch.float32
    assert not torch.equal(found, wanted)


def test_few_logits_are_made_at_once() -> None:
    hidden, matrix, target = inputs(bias=False, dtype=torch.float32)
    calls: list[Any] = []
    matrix.register_forward_hook(lambda *args: calls.append(args[2].shape))
    found, _ = Head(matrix).scores(hidden, target, 1.0)
    wanted = matrix(hidden).log_softmax(-1).gather(1, target[:, None])[:, 0]
    assert calls[0] == (ROWS, VOCABULARY)
    assert torch.equal(found, wanted)
