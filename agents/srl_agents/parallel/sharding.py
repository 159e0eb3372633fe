"""Weights, gradients and optimiser states sharded over processes (FSDP), and gathered again.

Each process holds a part of every weight. A layer's weights are gathered when the layer is
computed, and its gradient is summed over processes and sharded again. Checkpoints hold whole
tensors, so a run can resume with another number of processes, or without sharding.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def shard(model: nn.Module, device: torch.device, autocast: bool) -> None:
    """Shards a model on the CPU over all processes, each with its ``device``.

    Calling the whole model gathers its layers one at a time. autocast: layers are gathered and
    computed in bfloat16; weights and sums of gradients keep their type.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
    from transformers.modeling_layers import GradientCheckpointingLayer

    size = torch.distributed.get_world_size()
    options: dict[str, Any] = {
        "mesh": init_device_mesh(device.type, (size,)),
        "mp_policy": MixedPrecisionPolicy(
            param_dtype=torch.bfloat16 if autocast else None, reduce_dtype=torch.float32
        ),
    }
    for layer in [m for m in model.modules() if isinstance(m, GradientCheckpointingLayer)]:
        fully_shard(layer, **options)
    fully_shard(model, **options)


def is_sharded(model: nn.Module) -> bool:
    """Whether the model's weights are sharded over processes."""
    return any(hasattr(parameter, "full_tensor") for parameter in model.parameters())


def whole(tensor: Tensor) -> Tensor:
    """The whole of a tensor that may be sharded; all processes must ask for it."""
    gather = getattr(tensor, "full_tensor", None)
    found: Tensor = tensor if gather is None else gather()
    return found


def whole_weights(model: nn.Module, keep: bool) -> dict[str, Tensor] | None:
    """The state dict of a sharded model in whole tensors on the CPU; None if it is not sharded.

    keep: False in processes that only help to gather it; theirs is empty.
    """
    if not is_sharded(model):
        return None
    found: dict[str, Tensor] = {}
    known: dict[int, Tensor] = {}  # tied weights stay one tensor
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in known:
            value = whole(tensor.detach())
            known[id(tensor)] = value.cpu() if keep else value.new_empty(0)
        if keep:
            found[name] = known[id(tensor)]
    return found


def whole_optimizer(optimizer: torch.optim.Optimizer, keep: bool) -> dict[str, Any]:
    """The optimiser's state dict in whole tensors, as that of one process.

    keep: as for ``whole_weights``.
    """
    state = optimizer.state_dict()
    per_parameter: dict[Any, dict[str, Any]] = {}
    for key, values in state["state"].items():
        made = {name: _on_cpu_if_sharded(value, keep) for name, value in values.items()}
        per_parameter[key] = made if keep else {}
    return {**state, "state": per_parameter}


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Restores what ``whole_optimizer`` gave; each process takes its part."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    per_parameter = {
        key: {name: _like(value, parameters[key]) for name, value in values.items()}
        for key, values in state["state"].items()
    }
    optimizer.load_state_dict({**state, "state": per_parameter})


def _on_cpu_if_sharded(value: Any, keep: bool) -> Any:
    if not hasattr(value, "full_tensor"):
        return value
    found = whole(value)
    return found.cpu() if keep else None


def _like(value: Any, parameter: Any) -> Any:
    """A whole tensor of a parameter's shape, sharded like the parameter."""
    if not hasattr(parameter, "full_tensor") or getattr(value, "shape", None) != parameter.shape:
        return value
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(
        value.to(parameter.device), parameter.device_mesh, parameter.placements, src_data_rank=None
    )
