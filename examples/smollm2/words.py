"""``srl/WordProblem-v0`` after two worked examples, for small instruct models.

Without them SmolLM2-135M hardly ever writes the line "#### 12" that ends a solution.
"""

from __future__ import annotations

from typing import Any

from srl_env import PromptStyle
from srl_tasks.generated import WordProblemEnv

TASK = "Write the next line of the solution and nothing else. The last line is #### and the answer."
PROBLEM = """\
Problem:
Tom has 7 pens. Lea has 5 more pens than Tom. How many pens does Lea have?

Solution:
Lea has 7 + 5 = 12 pens.
#### 12

Problem:
Max has 20 plums. Max has 4 times as many plums as Pia. How many plums does Pia have?

Solution:
Pia has 20 / 4 = 5 plums.
#### 5

Problem:
{problem}

Solution:"""
STYLE = PromptStyle(step_task=TASK, problem=PROBLEM, so_far="{steps}", between="\n")


class WordsEnv(WordProblemEnv):
    """Work out in sentences how many of something people have, after two worked examples."""

    def __init__(self, **options: Any) -> None:
        """options: those of ``WordProblemEnv``."""
        super().__init__(**{"style": STYLE, "format": "lines"} | options)
