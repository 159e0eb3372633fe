"""Layers that scoring and sampling share: root mean square norm and rotary positions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from srl_agents.nn.network import RMSNorm


def rms_norm(norm: RMSNorm, hidden: Tensor) -> Tensor:
    """hidden (..., d) over its root mean square, computed in fp32, times the weight."""
    if hidden.dtype == torch.float32 and norm.weight.dtype == torch.float32:
        out: Tensor = _RMSNorm.apply(hidden, norm.weight, norm.eps)  # type: ignore[no-untyped-call]
        return out
    wide = hidden.float()
    wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + norm.eps)
    return norm.weight * wide.to(hidden.dtype)


class _RMSNorm(torch.autograd.Function):
    """The norm in fp32 with half the passes over memory that autograd makes of its parts."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, eps: float) -> Tensor:
        floor = torch.full((), (eps * hidden.shape[-1]) ** 0.5, device=hidden.device)
        length = torch.linalg.vector_norm(hidden, dim=-1, keepdim=True)
        scale: Tensor = hidden.shape[-1] ** 0.5 / torch.hypot(length, floor)  # 1 / rms
        normed = hidden * scale
        ctx.save_for_backward(normed, scale, weight)
        return normed * weight

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor | None, None]:
        normed, scale, weight = ctx.saved_tensors
        (grad,) = grads
        along = grad * normed
        mean = (along @ weight)[..., None] / weight.shape[0]  # (..., 1), of d(out) * out
        to_hidden = torch.addcmul(grad * weight, normed, mean, value=-1).mul_(scale)
        to_weight = along.flatten(0, -2).sum(0) if ctx.needs_input_grad[1] else None
        return to_hidden, to_weight, None


def angles(rotary: Any, hidden: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and sines (N, 1, d) of positions (N,), as ``rotated`` takes them.

    rotary: the model's own module, which knows its frequencies. hidden: for dtype and device.
    """
    cos, sin = rotary(hidden[None], positions[None])
    first, second = sin[0].chunk(2, -1)
    return cos[0, :, None], torch.cat([-first, second], -1)[:, None]


def rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x (N, heads, d) turned by its position's angles, as made by ``angles``."""
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, -1), sin)
