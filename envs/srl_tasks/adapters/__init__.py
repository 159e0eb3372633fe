"""Environments made of other libraries' tasks: reasoning-gym, GEM and OpenEnv."""

from __future__ import annotations

from typing import TYPE_CHECKING

from srl_env.lazy import lazy_names

if TYPE_CHECKING:
    from srl_tasks.adapters.gem import GEMEnv
    from srl_tasks.adapters.openenv.env import OpenEnvEnv
    from srl_tasks.adapters.reasoning_gym import ReasoningGymEnv

__all__ = [
    "GEMEnv",
    "OpenEnvEnv",
    "ReasoningGymEnv",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "gem": ("GEMEnv",),
        "openenv.env": ("OpenEnvEnv",),
        "reasoning_gym": ("ReasoningGymEnv",),
    },
)
