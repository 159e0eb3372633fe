"""The output head: hidden states to logits, or to the log-probabilities of given tokens.

With a real vocabulary the logits of a micro-batch are far larger than anything else: 4,096 tokens
and 49,152 entries are 0.8 GB, and autograd keeps several of them. Where there are many,
``Head.scores`` makes them in parts, keeps none, and makes them again in the backward pass. The
gradient is the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from srl_agents.nn.linear import Map, linear

LOGITS_AT_ONCE = 10_000_000
"""More are made in parts of at most this size, 40 MB in fp32."""


@dataclass(frozen=True, slots=True)
class Head:
    """Logits: ``map(x) / divisor``, within ``softcap`` by cap * tanh(logits / cap)."""

    map: Map
    divisor: float = 1.0
    softcap: float | None = None

    def logits(self, hidden: Tensor) -> Tensor:
        """(N, V) of normed hidden states (N, d), at least in fp32."""
        logits = self.map(hidden)
        if self.divisor != 1.0:
            logits = logits / self.divisor
        if self.softcap is not None:
            logits = torch.tanh(logits / self.softcap) * self.softcap
        return logits.to(torch.promote_types(logits.dtype, torch.float32))

    def log_probs(self, hidden: Tensor, temperature: float) -> Tensor:
        """(N, V) at a temperature."""
        logits = self.logits(hidden)
        if temperature != 1.0:
            logits = logits / temperature
        return torch.log_softmax(logits, -1)

    def vocabulary(self, hidden: Tensor) -> int:
        """How many logits a hidden state has."""
        return int(getattr(self.map, "out_features", hidden.shape[-1]))

    def scores(self, hidden: Tensor, target: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        """Log-probabilities of targets (S,) and entropies (S,) after hidden states (S, d).

        Entropies carry no gradient.
        """
        rows = max(1, LOGITS_AT_ONCE // self.vocabulary(hidden))
        if len(target) <= rows:
            return self._scores(hidden, target, temperature)
        matrix = linear(self.map) if isinstance(self.map, torch.nn.Module) else None
        if matrix is not None:
            how = _How(self.divisor, self.softcap, temperature, rows)
            found: tuple[Tensor, Tensor] = _ScoresInParts.apply(  # type: ignore[no-untyped-call]
                hidden, matrix.weight, matrix.bias, target, how
            )
            return found
        parts = [
            checkpoint(self._scores, part, wanted, temperature, use_reentrant=False)
            for part, wanted in zip(
                torch.split(hidden, rows), torch.split(target, rows), strict=True
            )
        ]
        return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])

    def _scores(self, hidden: Tensor, target: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        return chosen(self.log_probs(hidden, temperature), target)


def chosen(log_probs: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The log-probabilities of targets (S,) among all (S, V), and the entropies."""
    with torch.no_grad():
        entropy = -(log_probs.exp() * log_probs).sum(-1)
    return log_probs.gather(1, target[:, None])[:, 0], entropy


@dataclass(frozen=True, slots=True)
class _How:
    """How raw logits z become logits: cap * tanh(z / divisor / cap) / temperature; rows: a part."""

    divisor: float
    softcap: float | None
    temperature: float
    rows: int

    def apply_(self, logits: Tensor) -> Tensor:
        """In place."""
        if self.divisor != 1.0:
            logits /= self.divisor
        if self.softcap is not None:
            logits.div_(self.softcap).tanh_().mul_(self.softcap)
        return logits if self.temperature == 1.0 else logits.div_(self.temperature)

    def slope(self, logits: Tensor) -> Tensor | float:
        """The derivative of the logits by z."""
        constant = 1.0 / (self.temperature * self.divisor)
        if self.softcap is None:
            return constant
        tanh = logits * (self.temperature / self.softcap)
        return tanh.square_().neg_().add_(1).mul_(constant)


class _ScoresInParts(torch.autograd.Function):
    """Log-probabilities and entropies of which no logits are kept.

    A part needs two buffers of logits at most. The gradient of the matrix is summed in one buffer;
    autograd would make another for each part.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, target: Tensor, how: _How
    ) -> tuple[Tensor, Tensor]:
        device = hidden.device.type
        dtype = hidden.dtype
        if torch.is_autocast_enabled(device):
            dtype = torch.get_autocast_dtype(device)
        ctx.save_for_backward(hidden, weight, bias, target)
        ctx.how, ctx.dtype = how, dtype
        wide = torch.promote_types(dtype, torch.float32)
        logprobs = torch.empty(len(target), dtype=wide, device=hidden.device)
        entropy = torch.empty_like(logprobs)
        with torch.autocast(device, enabled=False):
            matrix, added = _cast(weight, dtype), _cast(bias, dtype)
            for at in _parts(len(target), how.rows):
                logits = how.apply_(_raw(hidden[at].to(dtype), matrix, added))
                logits -= logits.amax(-1, keepdim=True)
                wanted = logits.gather(1, target[at, None])[:, 0]
                probabilities = logits.exp()
                total = probabilities.sum(-1)
                mean = probabilities.mul_(logits).sum(-1) / total
                logprobs[at] = wanted - total.log()
                entropy[at] = total.log() - mean
                del logits, probabilities
        ctx.mark_non_differentiable(entropy)
        return logprobs, entropy

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, target = ctx.saved_tensors
        how, dtype, grad = ctx.how, ctx.dtype, grads[0]
        wide = torch.promote_types(dtype, torch.float32)
        to_hidden = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        to_weight = torch.zeros_like(weight, dtype=wide) if ctx.needs_input_grad[1] else None
        to_bias = torch.zeros_like(bias, dtype=wide) if ctx.needs_input_grad[2] else None
        with torch.autocast(hidden.device.type, enabled=False):
            matrix, added = _cast(weight, dtype), _cast(bias, dtype)
            for at in _parts(len(target), how.rows):
                inputs = hidden[at].to(dtype)
                logits = how.apply_(_raw(inputs, matrix, added))
                slope = how.slope(logits)
                change = logits.sub_(logits.amax(-1, keepdim=True)).exp_()
                change *= -grad[at, None] / change.sum(-1, keepdim=True)
                change.scatter_add_(1, target[at, None], grad[at, None])
                change = change.mul_(slope).to(dtype)
                if to_hidden is not None:
                    to_hidden[at] = change @ matrix
                if to_weight is not None:
                    _add_product(to_weight, change, inputs)
                if to_bias is not None:
                    to_bias += change.sum(0)
                del logits, change
        return (
            to_hidden,
            None if to_weight is None else to_weight.to(weight.dtype),
            None if to_bias is None else to_bias.to(bias.dtype),
            None,
            None,
        )


def _parts(rows: int, size: int) -> Iterator[slice]:
    for begin in range(0, rows, size):
        yield slice(begin, begin + size)


def _raw(inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """(rows, V) at least in fp32, a buffer that may be written to."""
    raw = F.linear(inputs, weight, bias)
    return raw.to(torch.promote_types(raw.dtype, torch.float32))


def _add_product(total: Tensor, change: Tensor, inputs: Tensor) -> None:
    """total (V, d) += change.T @ inputs."""
    if total.dtype == change.dtype:
        total.addmm_(change.t(), inputs)
    else:
        total += change.t() @ inputs


def _cast(tensor: Tensor | None, dtype: torch.dtype) -> Any:
    return None if tensor is None else tensor.to(dtype)
