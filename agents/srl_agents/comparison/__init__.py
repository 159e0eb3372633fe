"""Several methods, several seeds, equal budgets."""

from srl_agents.comparison.config import CompareConfig, load_compare_config, make_compare_config
from srl_agents.comparison.scheduler import JobProgress, compare

__all__ = [
    "CompareConfig",
    "JobProgress",
    "compare",
    "load_compare_config",
    "make_compare_config",
]
