"""Training runs: a configuration in, a folder with a trained model out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from srl_env.lazy import lazy_names

if TYPE_CHECKING:
    from srl_agents.training.memory import cached_tokens, estimate
    from srl_agents.training.throughput import (
        Gpu,
        Rates,
        Task,
        Throughput,
        predict_throughput,
        rates_on,
    )

__all__ = [
    "Gpu",
    "Rates",
    "Task",
    "Throughput",
    "cached_tokens",
    "estimate",
    "predict_throughput",
    "rates_on",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "memory": ("cached_tokens", "estimate"),
        "throughput": ("Gpu", "Rates", "Task", "Throughput", "predict_throughput", "rates_on"),
    },
)
