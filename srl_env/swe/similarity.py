"""How alike two tool calls are, argument by argument. (Being written.)"""

from __future__ import annotations

from srl_env.rewards.similarity import step_similarity


def call_similarity(action: str, expert_action: str) -> float:
    """How alike an action is to the expert's, in [0, 1]."""
    return step_similarity(action, expert_action)
