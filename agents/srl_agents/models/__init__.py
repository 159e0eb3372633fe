"""Language models on disk: loaded, looked for, and built small."""

from __future__ import annotations

from typing import TYPE_CHECKING

from srl_env.lazy import lazy_names

if TYPE_CHECKING:
    from srl_agents.models.loading import load
    from srl_agents.models.small import CONFIGS, bpe_tokenizer, build, character_tokenizer

__all__ = [
    "CONFIGS",
    "bpe_tokenizer",
    "build",
    "character_tokenizer",
    "load",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "small": ("CONFIGS", "bpe_tokenizer", "build", "character_tokenizer"),
        "loading": ("load",),
    },
)
