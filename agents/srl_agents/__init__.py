"""Policies, training, evaluation, the command line, and adapters for trainers of others.

The names below are loaded when they are first used, and torch when they need it. The last two are
what verifiers looks for in a package that it is given by name, ``vf-eval srl-agents``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from srl_env.lazy import lazy_names

if TYPE_CHECKING:
    from srl_agents.comparison.run import compare
    from srl_agents.evaluation.run import EvalSettings, evaluate
    from srl_agents.integrations.verifiers import SRLTaskset, SRLVerifiersEnv
    from srl_agents.policies import (
        ExpertPolicy,
        OpenAIPolicy,
        RandomPolicy,
        TransformersPolicy,
        VLLMPolicy,
    )
    from srl_agents.runs.config import load_config, make_config
    from srl_agents.training.run import train

__all__ = [
    "EvalSettings",
    "ExpertPolicy",
    "OpenAIPolicy",
    "RandomPolicy",
    "SRLTaskset",
    "SRLVerifiersEnv",
    "TransformersPolicy",
    "VLLMPolicy",
    "compare",
    "evaluate",
    "load_config",
    "make_config",
    "train",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "training.run": ("train",),
        "evaluation.run": ("EvalSettings", "evaluate"),
        "comparison.run": ("compare",),
        "runs.config": ("load_config", "make_config"),
        "policies": (
            "ExpertPolicy",
            "OpenAIPolicy",
            "RandomPolicy",
            "TransformersPolicy",
            "VLLMPolicy",
        ),
        "integrations.verifiers": ("SRLTaskset", "SRLVerifiersEnv"),
    },
)
