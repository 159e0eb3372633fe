"""What an update optimises: objectives, groups, advantages, losses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from srl_env.lazy import lazy_names

if TYPE_CHECKING:
    from srl_agents.objectives.advantage import group_advantages
    from srl_agents.objectives.base import Objective, Scores
    from srl_agents.objectives.grpo import GRPO
    from srl_agents.objectives.loss import aggregate, clipped_surrogate, completion_weights
    from srl_agents.objectives.nll import NLL
    from srl_agents.objectives.sampled import Sampled

__all__ = [
    "GRPO",
    "NLL",
    "Objective",
    "Sampled",
    "Scores",
    "aggregate",
    "clipped_surrogate",
    "completion_weights",
    "group_advantages",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "advantage": ("group_advantages",),
        "base": ("Objective", "Scores"),
        "grpo": ("GRPO",),
        "loss": ("aggregate", "clipped_surrogate", "completion_weights"),
        "nll": ("NLL",),
        "sampled": ("Sampled",),
    },
)
