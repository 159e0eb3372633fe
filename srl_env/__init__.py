"""Reasoning problems as Gymnasium environments, with step-wise and outcome rewards.

Importing this package registers every installed environment with Gymnasium and imports none of
them. The names below are imported on first use. ``srl_env.rollout`` is a module; import its
function
with ``from srl_env.rollout import rollout``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from srl_env.lazy import lazy_names
from srl_env.registration.ids import environment_ids, make, make_vec, register_installed

if TYPE_CHECKING:
    from srl_env.batch.stepping import step_many
    from srl_env.batch.vector import VectorEnv
    from srl_env.check import CheckReport, check_env
    from srl_env.environment import ReasoningEnv
    from srl_env.episode.state import Snapshot
    from srl_env.policy import Generation, Policy, Sampling
    from srl_env.problem import ExpertStep, ExpertTrajectory, Problem, ProblemSource
    from srl_env.rewards.record import StepRecord, StepReward
    from srl_env.rewards.registry import RewardMode, reward_mode
    from srl_env.rollout import EnvPool, Episode, PrivilegedPolicy, Start, Step
    from srl_env.text.format import Brackets, CompletionFormat, ParsedStep, ThinkTags
    from srl_env.text.prompt import PromptStyle
    from srl_env.text.spaces import AnyText
    from srl_env.text.tool import Parameter, Tool
    from srl_env.text.tools import JsonCalls
    from srl_env.verifiers.protocol import Verdict, Verifier


__all__ = [
    "AnyText",
    "Brackets",
    "CheckReport",
    "CompletionFormat",
    "EnvPool",
    "Episode",
    "ExpertStep",
    "ExpertTrajectory",
    "Generation",
    "JsonCalls",
    "Parameter",
    "ParsedStep",
    "Policy",
    "PrivilegedPolicy",
    "Problem",
    "ProblemSource",
    "PromptStyle",
    "ReasoningEnv",
    "RewardMode",
    "Sampling",
    "Snapshot",
    "Start",
    "Step",
    "StepRecord",
    "StepReward",
    "ThinkTags",
    "Tool",
    "VectorEnv",
    "Verdict",
    "Verifier",
    "check_env",
    "environment_ids",
    "make",
    "make_vec",
    "register_installed",
    "reward_mode",
    "step_many",
]


__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "check": ("CheckReport", "check_env"),
        "environment": ("ReasoningEnv",),
        "episode.state": ("Snapshot",),
        "text.format": ("Brackets", "CompletionFormat", "ParsedStep", "ThinkTags"),
        "text.tool": ("Parameter", "Tool"),
        "text.tools": ("JsonCalls",),
        "policy": ("Generation", "Policy", "Sampling"),
        "problem": ("ExpertStep", "ExpertTrajectory", "Problem", "ProblemSource"),
        "text.prompt": ("PromptStyle",),
        "rewards.record": ("StepRecord", "StepReward"),
        "rewards.registry": ("RewardMode", "reward_mode"),
        "rollout": ("PrivilegedPolicy", "EnvPool", "Episode", "Start", "Step"),
        "text.spaces": ("AnyText",),
        "batch.stepping": ("step_many",),
        "batch.vector": ("VectorEnv",),
        "verifiers.protocol": ("Verdict", "Verifier"),
    },
)

register_installed()
