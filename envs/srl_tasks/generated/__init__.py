"""Environments whose problems are generated, with an expert and a step checker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from srl_env.lazy import lazy_names

if TYPE_CHECKING:
    from srl_tasks.generated.column_arithmetic import ColumnArithmeticEnv
    from srl_tasks.generated.definition_graph import DefinitionGraphEnv, DefinitionGraphSource
    from srl_tasks.generated.family import LETTERS, GeneratedEnv, GeneratedSource
    from srl_tasks.generated.modular_chain import ALPHABET, ModularChainEnv, ModularChainSource
    from srl_tasks.generated.tool_shop import ToolShopEnv
    from srl_tasks.generated.word_problem import WordProblemEnv

__all__ = [
    "ALPHABET",
    "LETTERS",
    "ColumnArithmeticEnv",
    "DefinitionGraphEnv",
    "DefinitionGraphSource",
    "GeneratedEnv",
    "GeneratedSource",
    "ModularChainEnv",
    "ModularChainSource",
    "ToolShopEnv",
    "WordProblemEnv",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "family": ("GeneratedEnv", "GeneratedSource", "LETTERS"),
        "modular_chain": ("ALPHABET", "ModularChainEnv", "ModularChainSource"),
        "definition_graph": ("DefinitionGraphEnv", "DefinitionGraphSource"),
        "word_problem": ("WordProblemEnv",),
        "tool_shop": ("ToolShopEnv",),
        "column_arithmetic": ("ColumnArithmeticEnv",),
    },
)
