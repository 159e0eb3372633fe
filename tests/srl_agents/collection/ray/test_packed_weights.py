"""Weights as arrays, and back."""

from __future__ import annotations

import pickle

import torch

from srl_agents.collection.ray.packed_weights import Packed, packed, unpacked


def test_weights_come_back_as_they_were_in_every_type_and_shape() -> None:
    weights = {
        "matrix": torch.tensor([[1.5, -2.0, 0.1], [3.0, 4.0, 1e-30]]),
        "halves": torch.tensor([0.1, -3.0], dtype=torch.bfloat16),
        "number": torch.tensor(7.0),
        "turned": torch.arange(6.0).view(2, 3).t(),
    }
    there = dict(unpacked(pickle.loads(pickle.dumps(packed(weights.items())))))
    assert there.keys() == weights.keys()
    for name, value in weights.items():
        assert there[name].dtype == value.dtype
        assert torch.equal(there[name], value)


def test_weights_on_the_cpu_are_not_copied_to_be_packed() -> None:
    weight = torch.zeros(4, requires_grad=True)
    (found,) = packed([("w", weight)])
    with torch.no_grad():
        weight += 1
    assert found.data.view("float32").tolist() == [1.0] * 4


def test_what_cannot_be_written_to_can_be_read() -> None:
    (found,) = packed([("w", torch.ones(2))])
    frozen = found.data.copy()
    frozen.flags.writeable = False
    ((_, value),) = unpacked([Packed("w", frozen, "float32", (2,))])
    value += 1
    assert value.tolist() == [2.0, 2.0]
