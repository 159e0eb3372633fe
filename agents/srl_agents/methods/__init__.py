"""Training methods: stages, where their episodes start, and when they end."""

from __future__ import annotations

from srl_agents.methods.prefix import PrefixSchedule, ProblemStats
from srl_agents.methods.shipped import get_method, methods, register_method
from srl_agents.methods.stages import Method, Stage, Starts, Until

__all__ = [
    "Method",
    "PrefixSchedule",
    "ProblemStats",
    "Stage",
    "Starts",
    "Until",
    "get_method",
    "methods",
    "register_method",
]
