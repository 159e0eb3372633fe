"""Weights as plain arrays, which go from process to process without being copied on the way.

An object store hands the arrays of one object to all processes of a machine as shared memory that
cannot be written, and knows no bfloat16: so a weight is its bytes, its type and its shape.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Packed:
    """A named weight: the bytes of its elements in a row, torch's name of their type, its shape."""

    name: str
    data: NDArray[np.uint8]
    dtype: str
    shape: tuple[int, ...]


def packed(weights: Iterable[tuple[str, Tensor]]) -> list[Packed]:
    """The weights' bytes; those of a tensor on the CPU are shared with it."""
    return [_packed(name, value.detach().cpu().contiguous()) for name, value in weights]


def unpacked(weights: Iterable[Packed]) -> Iterator[tuple[str, Tensor]]:
    """Name and value of each, one copied at a time."""
    for each in weights:
        value = torch.from_numpy(each.data.copy()).view(getattr(torch, each.dtype))
        yield each.name, value.view(each.shape)


def _packed(name: str, value: Tensor) -> Packed:
    data = value.reshape(-1).view(torch.uint8).numpy()
    return Packed(name, data, str(value.dtype).removeprefix("torch."), tuple(value.shape))
