"""Training methods: stages, where their episodes start, and when they end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from srl_env.lazy import lazy_names

if TYPE_CHECKING:
    from srl_agents.methods.budget import StageBudget, Usage
    from srl_agents.methods.shipped import get_method, methods, register_method
    from srl_agents.methods.stages import Method, Stage, Starts, Until
    from srl_agents.methods.starts import StartPoint, StartSampler

__all__ = [
    "Method",
    "Stage",
    "StageBudget",
    "StartPoint",
    "StartSampler",
    "Starts",
    "Until",
    "Usage",
    "get_method",
    "methods",
    "register_method",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "stages": ("Method", "Stage", "Starts", "Until"),
        "shipped": ("get_method", "methods", "register_method"),
        "starts": ("StartPoint", "StartSampler"),
        "budget": ("Usage", "StageBudget"),
    },
)
