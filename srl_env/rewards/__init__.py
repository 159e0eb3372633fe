"""Rewards: the step similarity, and the modes that pay for steps."""

from srl_env.rewards.modes import (
    Continuation,
    FormatMode,
    FunctionMode,
    Granularity,
    HolisticMode,
    HybridMode,
    InverseMode,
    OutcomeMode,
    RandomMode,
    RewardMode,
    SimilarityMode,
    StepRecord,
    StepReward,
    get_reward_mode,
    register_reward_mode,
    reward_mode,
    reward_modes,
)
from srl_env.rewards.similarity import step_similarity

__all__ = [
    "Continuation",
    "FormatMode",
    "FunctionMode",
    "Granularity",
    "HolisticMode",
    "HybridMode",
    "InverseMode",
    "OutcomeMode",
    "RandomMode",
    "RewardMode",
    "SimilarityMode",
    "StepRecord",
    "StepReward",
    "get_reward_mode",
    "register_reward_mode",
    "reward_mode",
    "reward_modes",
    "step_similarity",
]
