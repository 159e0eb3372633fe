"""From starts to groups of episodes and demonstrations, here or on Ray's workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from srl_env.lazy import lazy_names

if TYPE_CHECKING:
    from srl_agents.collection.ray.workers import RayWorkers
    from srl_agents.collection.runners import Job, LocalRollouts, Rollouts

__all__ = [
    "Job",
    "LocalRollouts",
    "RayWorkers",
    "Rollouts",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "runners": ("LocalRollouts", "Rollouts", "Job"),
        "ray.workers": ("RayWorkers",),
    },
)
