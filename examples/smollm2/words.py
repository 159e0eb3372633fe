"""``srl/WordProblem-v0`` for small instruct models: a short prompt, and answers in sentences.

A solution has no line "#### 12" at its end, because SmolLM2-135M hardly ever writes one, also after
worked examples. The sentence about whom the question asks is its last.
"""

from __future__ import annotations

from typing import Any

from srl_env import PromptStyle
from srl_tasks.generated import WordProblemEnv

STYLE = PromptStyle(
    step_task="",
    problem="{problem} Answer in one short sentence with the calculation.",
)


class WordsEnv(WordProblemEnv):
    """Work out in short sentences how many of something people have."""

    def __init__(self, **options: Any) -> None:
        """options: those of ``WordProblemEnv``."""
        super().__init__(**{"style": STYLE, "format": "lines", "answer_line": False} | options)
