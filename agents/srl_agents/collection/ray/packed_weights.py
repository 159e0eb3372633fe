"""Weights as plain arrays, which processes of a machine share without copies.

An object store shares arrays as read-only memory and has no bfloat16, so a weight is stored as its
bytes, its type and its shape.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srl_agents.collection.versioned import Weights


@dataclass(frozen=True, slots=True)
class Packed:
    """A named weight: its bytes, torch's name of their type, and its shape."""

    name: str
    data: NDArray[np.uint8]
    dtype: str
    shape: tuple[int, ...]


def packed(weights: Iterable[tuple[str, Tensor]]) -> list[Packed]:
    """The weights' bytes; those of a tensor on the CPU are shared with it."""
    found = []
    for name, weight in weights:
        value = weight.detach().cpu().contiguous()
        data = value.reshape(-1).view(torch.uint8).numpy()
        dtype = str(value.dtype).removeprefix("torch.")
        found.append(Packed(name, data, dtype, tuple(value.shape)))
    return found


def unpacked(weights: Iterable[Packed]) -> Iterator[tuple[str, Tensor]]:
    """Name and value of each, one copied at a time."""
    for each in weights:
        value = torch.from_numpy(each.data.copy()).view(getattr(torch, each.dtype))
        yield each.name, value.view(each.shape)


def handed_out(ray: Any, weights: Iterable[tuple[str, Tensor]], version: int) -> Weights:
    """The weights as they are now, in Ray's object store; a policy reads them there."""
    return Weights(version, partial(_load, [ray.put(packed(weights))]))


def _load(handed: list[Any], policy: Any) -> None:
    policy.load_weights(unpacked(importlib.import_module("ray").get(handed[0])))
