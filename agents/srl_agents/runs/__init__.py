"""What a run is made of, on disk: configuration, inputs, checkpoints, history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from srl_env.lazy import lazy_names

if TYPE_CHECKING:
    from srl_agents.runs.config import (
        BudgetConfig,
        EnvConfig,
        ModelConfig,
        OptimizerConfig,
        RolloutConfig,
        RunConfig,
        load_config,
        make_config,
    )
    from srl_agents.runs.settings import read_tree, with_overrides

__all__ = [
    "BudgetConfig",
    "EnvConfig",
    "ModelConfig",
    "OptimizerConfig",
    "RolloutConfig",
    "RunConfig",
    "load_config",
    "make_config",
    "read_tree",
    "with_overrides",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "config": (
            "BudgetConfig",
            "EnvConfig",
            "ModelConfig",
            "OptimizerConfig",
            "RolloutConfig",
            "RunConfig",
            "load_config",
            "make_config",
        ),
        "settings": ("read_tree", "with_overrides"),
    },
)
