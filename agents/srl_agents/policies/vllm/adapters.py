"""LoRA adapters as vLLM loads them: a folder in peft's form for each version of the weights.

Adapters are a thousandth of the weights, and keep their own precision beside a base in bfloat16,
which merging rounds away. vLLM keeps them apart from the base if it was started with
``enable_lora``.
"""

from __future__ import annotations

import itertools
import shutil
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from srl_agents.parallel.sharding import whole

_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # that vLLM's max_lora_rank may be


def has_adapters(model: nn.Module) -> bool:
    """Whether a model is peft's."""
    return hasattr(model, "peft_config") and hasattr(model, "get_base_model")


def largest_rank(rank: int) -> int:
    """The smallest ``max_lora_rank`` of vLLM that holds adapters of this rank."""
    return next((each for each in _RANKS if each >= rank), rank)


def write_adapters(model: Any, folder: Path, write: bool = True) -> None:
    """Writes the active adapter of a peft model.

    write: False in processes that only help to gather sharded weights. Raises OSError.
    """
    import peft

    name = model.active_adapter
    with torch.no_grad():
        gathered = {n: whole(p.detach()) for n, p in model.named_parameters() if ".lora_" in n}
    if not write:
        return
    state = peft.get_peft_model_state_dict(model, state_dict=gathered, adapter_name=name)
    folder.mkdir(parents=True)
    weights = {key: value.cpu().contiguous() for key, value in state.items()}
    save_file(weights, folder / "adapter_model.safetensors")
    model.peft_config[name].save_pretrained(str(folder))


@dataclass(frozen=True, slots=True)
class AdapterVersion:
    """One version of the adapters: its name, its number from 1 on, and its folder."""

    name: str
    number: int
    path: Path


@dataclass(slots=True)
class AdapterVersions:
    """The versions in a folder, of which only the latest stays. Names are new in every process."""

    folder: Path
    latest: AdapterVersion | None = None
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _prefix: str = field(default_factory=lambda: f"srl-env-{uuid.uuid4().hex[:8]}")

    def write(self, model: Any, write: bool = True) -> AdapterVersion:
        """Writes the next version; the one before stays until ``forget``."""
        number = next(self._numbers)
        name = f"{self._prefix}-{number}"
        self.latest = AdapterVersion(name, number, self.folder / name)
        write_adapters(model, self.latest.path, write)
        return self.latest

    def forget(self, version: AdapterVersion) -> None:
        """Removes the files of an earlier version."""
        shutil.rmtree(version.path, ignore_errors=True)
