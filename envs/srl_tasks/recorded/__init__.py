"""Environments whose problems and experts are recorded in files and data sets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from srl_env.lazy import lazy_names

if TYPE_CHECKING:
    from srl_tasks.recorded.gsm8k import GSM8KEnv
    from srl_tasks.recorded.numbered_solutions import NumberedSolutionsEnv
    from srl_tasks.recorded.steps import StepsEnv

__all__ = [
    "GSM8KEnv",
    "NumberedSolutionsEnv",
    "StepsEnv",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "gsm8k": ("GSM8KEnv",),
        "numbered_solutions": ("NumberedSolutionsEnv",),
        "steps": ("StepsEnv",),
    },
)
