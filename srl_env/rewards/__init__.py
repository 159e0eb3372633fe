"""Rewards: step measures, and the modes that reward steps."""

from srl_env.rewards.measures import MEASURES, OF_TRAINING, find_measure
from srl_env.rewards.modes import HybridMode
from srl_env.rewards.record import (
    Continuation,
    Granularity,
    Measure,
    StepRecord,
    StepReward,
    TextMeasure,
)
from srl_env.rewards.registry import (
    FunctionMode,
    RewardMode,
    get_reward_mode,
    needs_verifier,
    register_reward_mode,
    reward_mode,
    reward_modes,
)
from srl_env.rewards.side_by_side import SideBySide
from srl_env.rewards.similarity import matched_blocks, step_similarity

__all__ = [
    "MEASURES",
    "OF_TRAINING",
    "Continuation",
    "FunctionMode",
    "Granularity",
    "HybridMode",
    "Measure",
    "RewardMode",
    "SideBySide",
    "StepRecord",
    "StepReward",
    "TextMeasure",
    "find_measure",
    "get_reward_mode",
    "matched_blocks",
    "needs_verifier",
    "register_reward_mode",
    "reward_mode",
    "reward_modes",
    "step_similarity",
]
