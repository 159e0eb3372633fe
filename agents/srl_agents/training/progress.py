"""Where a run is, and what it left behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from srl_agents.methods.budget import Usage
from srl_env.policy import Policy

if TYPE_CHECKING:
    from srl_agents.objectives.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run is, after an update.

    fraction: of the whole budget, 0 … 1. policy: what is being trained, to be looked at between
    updates; whoever samples from it leaves its generator as it was.
    """

    update: int
    stage: str
    fraction: float
    usage: Usage
    metrics: Metrics
    policy: Policy


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What a run left behind.

    model: the folder of the trained model, None where the run was interrupted. stages: the name
    of each stage that ended and why. metrics: the last update's. warnings: what should be looked
    at, as stages in which several updates in a row learned nothing.
    """

    folder: Path
    model: Path | None
    usage: Usage
    stages: tuple[tuple[str, str], ...]
    metrics: Metrics
    warnings: tuple[str, ...] = ()

    @property
    def finished(self) -> bool:
        """Whether the run came to its end rather than being interrupted."""
        return self.model is not None


OnProgress = Callable[[Progress], None]
