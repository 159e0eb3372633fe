"""Policies, training, evaluation, the command line, and adapters for other trainers.

The names below are loaded on first use, and torch only if they need it. The library verifiers looks
for the last two: ``vf-eval srl-agents``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from srl_env.lazy import lazy_names

if TYPE_CHECKING:
    from srl_agents.comparison.scheduler import compare as compare
    from srl_agents.evaluation.evaluator import evaluate as evaluate
    from srl_agents.integrations.taskset import SRLTaskset, SRLVerifiersEnv
    from srl_agents.policies import ExpertPolicy as ExpertPolicy
    from srl_agents.policies import OpenAIPolicy as OpenAIPolicy
    from srl_agents.policies import RandomPolicy as RandomPolicy
    from srl_agents.policies import TransformersPolicy as TransformersPolicy
    from srl_agents.policies import VLLMPolicy as VLLMPolicy
    from srl_agents.runs.config import load_config as load_config
    from srl_agents.runs.config import make_config as make_config
    from srl_agents.runs.evaluation import EvalSettings as EvalSettings
    from srl_agents.training.run import train as train

# verifiers loads every name here, so names that need torch are not listed.
__all__ = ["SRLTaskset", "SRLVerifiersEnv"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "training.run": ("train",),
        "evaluation.evaluator": ("evaluate",),
        "comparison.scheduler": ("compare",),
        "runs.config": ("load_config", "make_config"),
        "runs.evaluation": ("EvalSettings",),
        "policies": (
            "ExpertPolicy",
            "OpenAIPolicy",
            "RandomPolicy",
            "TransformersPolicy",
            "VLLMPolicy",
        ),
        "integrations.taskset": ("SRLTaskset", "SRLVerifiersEnv"),
    },
)
