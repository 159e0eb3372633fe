"""Policies: language models, and those that need none.

Only ``TransformersPolicy`` imports torch, and only when it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from srl_agents.policies.human import HumanPolicy, InputEnded
from srl_agents.policies.simple import ExpertPolicy, RandomPolicy

if TYPE_CHECKING:
    from srl_agents.policies.language_model import TransformersPolicy

__all__ = ["ExpertPolicy", "HumanPolicy", "InputEnded", "RandomPolicy", "TransformersPolicy"]


def __getattr__(name: str) -> Any:
    if name == "TransformersPolicy":
        from srl_agents.policies.language_model import TransformersPolicy

        return TransformersPolicy
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
