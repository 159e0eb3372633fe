"""The interface of what samples for a training: a copy of the model, vLLM, a server, or yours."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from srl_agents.parallel.team import ALONE, Team
from srl_agents.policies.transformers import TransformersPolicy
from srl_agents.runs.config import ModelConfig, PolicyConfig
from srl_env.policy import Policy


class Sampler(Policy, Protocol):
    """A policy that samples for a training.

    Its generations need ``token_ids``, ``logprobs`` at the sampling temperature, and
    ``prompt_ids``. If it has a class method ``for_training(training)``, that makes it. Otherwise
    it is made with the arguments in ``policy.engine``, and ``generator`` is seeded. Ray's workers,
    and workers that sample ahead, need ``load_weights(named)``, and a static method
    ``weights(model)`` that gives these.
    """

    @property
    def generator(self) -> Any:
        """All randomness: ``manual_seed``, ``get_state`` and ``set_state`` as of torch's."""
        ...

    def push_weights(self, model: nn.Module) -> None:
        """Takes the model's weights: before the first update, and after each."""
        ...

    def close(self) -> None:
        """Ends it and frees its memory."""
        ...


@dataclass(frozen=True, slots=True)
class Training:
    """What a sampler may use of the training that it samples for.

    seed: of sampling in this process. policy: what is trained; None in a worker of Ray. folder:
    the run's. device: of a copy; None for the model's. gpu_share: the part of a GPU's memory that
    is the sampler's if ``settings.engine`` says nothing else.
    """

    settings: PolicyConfig
    model: ModelConfig
    seed: int
    policy: TransformersPolicy | None = None
    folder: Path = Path()
    team: Team = ALONE
    device: torch.device | None = None
    gpu_share: float = 0.3
