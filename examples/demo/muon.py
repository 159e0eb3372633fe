"""The Muon optimiser in fp32, all matrices of one shape in one batched product.

``torch.optim.Muon`` orthogonalises in bfloat16, one matrix at a time, which on a CPU without
matrix units for bfloat16 costs more than the model itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

QUINTIC = (3.4445, -4.7750, 2.0315)


class Muon(torch.optim.Optimizer):
    """Momentum whose update is replaced by the nearest matrix with orthogonal rows.

    Only for matrices. Source: Jordan et al., "Muon: an optimizer for hidden layers in neural
    networks", 2024.
    """

    def __init__(self, params: Iterable[Tensor], lr: float, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:
        """One update; a closure is not supported."""
        assert closure is None
        for group in self.param_groups:
            by_shape: dict[tuple[int, ...], list[Tensor]] = defaultdict(list)
            for param in group["params"]:
                by_shape[tuple(param.shape)].append(param)
            for params in by_shape.values():
                momenta = [self._momentum(param, group) for param in params]
                scale = max(1.0, params[0].shape[0] / params[0].shape[1]) ** 0.5
                for param, update in zip(params, orthogonalized(momenta), strict=True):
                    param.add_(update, alpha=-group["lr"] * scale)

    def _momentum(self, param: Tensor, group: dict[str, Any]) -> Tensor:
        """The Nesterov momentum of a parameter, its gradient taken in."""
        state = self.state[param]
        buffer = state.setdefault("momentum", torch.zeros_like(param))
        assert param.grad is not None
        buffer.lerp_(param.grad, 1 - group["momentum"])
        return param.grad.lerp(buffer, group["momentum"])


def orthogonalized(matrices: list[Tensor], steps: int = 5) -> Tensor:
    """Matrices of one shape (N × (a, b)) with all singular values moved near 1; (N, a, b).

    A quintic Newton–Schulz iteration: singular values end between about 0.7 and 1.2.
    """
    x = torch.stack(matrices)
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    a, b, c = QUINTIC
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + torch.baddbmm(gram, gram, gram, beta=b, alpha=c) @ x
    return x.mT if tall else x
