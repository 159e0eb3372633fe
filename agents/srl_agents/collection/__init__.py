"""From starts to groups of episodes and demonstrations, here or on Ray's workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from srl_env.lazy import lazy_names

if TYPE_CHECKING:
    from srl_agents.collection.ray.workers import RayWorkers
    from srl_agents.collection.runners import LocalRollouts, Rollouts, Unit

__all__ = [
    "LocalRollouts",
    "RayWorkers",
    "Rollouts",
    "Unit",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "runners": ("LocalRollouts", "Rollouts", "Unit"),
        "ray.workers": ("RayWorkers",),
    },
)
