"""What an update optimises: groups, advantages, losses. Pure functions of tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from srl_env.lazy import lazy_names

if TYPE_CHECKING:
    from srl_agents.objectives.advantage import group_advantages
    from srl_agents.objectives.loss import aggregate, clipped_surrogate, completion_weights

__all__ = ["aggregate", "clipped_surrogate", "completion_weights", "group_advantages"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "advantage": ("group_advantages",),
        "loss": ("aggregate", "clipped_surrogate", "completion_weights"),
    },
)
