"""Training runs: a configuration in, a folder with a trained model out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from srl_env.lazy import lazy_names

if TYPE_CHECKING:
    from srl_agents.training.memory import cached_tokens, estimate
    from srl_agents.training.progress import Progress, TrainResult
    from srl_agents.training.run import train

__all__ = [
    "Progress",
    "TrainResult",
    "cached_tokens",
    "estimate",
    "train",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "run": ("train",),
        "progress": ("Progress", "TrainResult"),
        "memory": ("cached_tokens", "estimate"),
    },
)
