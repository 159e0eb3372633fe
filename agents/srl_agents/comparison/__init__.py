"""Several methods, several seeds, equal budgets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from srl_env.lazy import lazy_names

if TYPE_CHECKING:
    from srl_agents.comparison.config import CompareConfig, load_compare_config, make_compare_config
    from srl_agents.comparison.scheduler import JobProgress, compare

__all__ = [
    "CompareConfig",
    "JobProgress",
    "compare",
    "load_compare_config",
    "make_compare_config",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "scheduler": ("JobProgress", "compare"),
        "config": ("CompareConfig", "load_compare_config", "make_compare_config"),
    },
)
