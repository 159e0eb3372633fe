"""Policies: language models, and those that need none.

``TransformersPolicy`` imports torch, ``OpenAIPolicy`` openai and ``VLLMPolicy`` vllm, each only
when it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from srl_env.lazy import lazy_names

if TYPE_CHECKING:
    from srl_agents.policies.human import HumanPolicy, InputEnded
    from srl_agents.policies.named import PolicySpec, read_spec
    from srl_agents.policies.servers.openai import OpenAIPolicy
    from srl_agents.policies.simple import ExpertPolicy, RandomPolicy
    from srl_agents.policies.transformers import TransformersPolicy
    from srl_agents.policies.vllm.engine import VLLMPolicy

__all__ = [
    "ExpertPolicy",
    "HumanPolicy",
    "InputEnded",
    "OpenAIPolicy",
    "PolicySpec",
    "RandomPolicy",
    "TransformersPolicy",
    "VLLMPolicy",
    "read_spec",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "human": ("HumanPolicy", "InputEnded"),
        "simple": ("ExpertPolicy", "RandomPolicy"),
        "transformers": ("TransformersPolicy",),
        "servers.openai": ("OpenAIPolicy",),
        "vllm.engine": ("VLLMPolicy",),
        "named": ("PolicySpec", "read_spec"),
    },
)
