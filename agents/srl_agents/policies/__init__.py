"""Policies: language models, and those that need none.

``TransformersPolicy`` imports torch, ``OpenAIPolicy`` openai and ``VLLMPolicy`` vllm, each only
when it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from srl_agents.policies.human import HumanPolicy, InputEnded
from srl_agents.policies.simple import ExpertPolicy, RandomPolicy

if TYPE_CHECKING:
    from srl_agents.policies.servers.openai import OpenAIPolicy
    from srl_agents.policies.transformers import TransformersPolicy
    from srl_agents.policies.vllm.engine import VLLMPolicy

__all__ = [
    "ExpertPolicy",
    "HumanPolicy",
    "InputEnded",
    "OpenAIPolicy",
    "RandomPolicy",
    "TransformersPolicy",
    "VLLMPolicy",
]


def __getattr__(name: str) -> Any:
    if name == "TransformersPolicy":
        from srl_agents.policies.transformers import TransformersPolicy

        return TransformersPolicy
    if name == "OpenAIPolicy":
        from srl_agents.policies.servers.openai import OpenAIPolicy

        return OpenAIPolicy
    if name == "VLLMPolicy":
        from srl_agents.policies.vllm.engine import VLLMPolicy

        return VLLMPolicy
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
