"""The progress of a run, and its result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from srl_agents.methods.budget import Usage
from srl_agents.objectives.metrics import Metrics
from srl_env.policy import Policy


@dataclass(frozen=True, slots=True)
class Progress:
    """A run after an update.

    fraction: of the whole budget, 0 … 1. policy: the one in training. Code that samples from it
    must restore its generator.
    """

    update: int
    stage: str
    fraction: float
    usage: Usage
    metrics: Metrics
    policy: Policy


@dataclass(frozen=True, slots=True)
class TrainResult:
    """The result of a run.

    model: the folder of the trained model; None if the run was interrupted. stages: the name of
    each stage that ended, and why. metrics: of the last update. warnings: e.g. stages in which
    several updates in a row learned nothing. best: the folder of the model with the best score in
    the evaluations during the run; None without any.
    """

    folder: Path
    model: Path | None
    usage: Usage
    stages: tuple[tuple[str, str], ...]
    metrics: Metrics
    warnings: tuple[str, ...] = ()
    best: Path | None = None

    @property
    def finished(self) -> bool:
        """Whether the run ended by itself rather than being interrupted."""
        return self.model is not None


OnProgress = Callable[[Progress], None]
