"""Problems with answers and no solutions, as AMC, AIME and Minerva, which judge ``maths.toml``.

    srl-env eval -m runs/recipe-maths --env examples/recipes/answers.py --split all \
        --kwargs '{"path": "aime24.jsonl"}' -n 1000 -r 32 --granularity solution --max-tokens 4096

Each line is {"problem": "…", "answer": "…"}; ``problem`` and ``answer`` name other columns.
"""

from __future__ import annotations

from typing import Any

from srl_env import Problem, PromptStyle, ReasoningEnv
from srl_env.data import JsonlSource, Row, content_id
from srl_env.verifiers import BoxedVerifier

NOTE = r"Put the final answer into \boxed{}."


class AnswersEnv(ReasoningEnv):
    r"""Solve a problem and state the answer in \boxed{}; correct by math-verify (extra "math").

    split: "all", or as for other files 90 % "train", 5 % "dev" and 5 % "test".
    """

    def __init__(
        self,
        path: str,
        *,
        split: str = "all",
        problem: str = "problem",
        answer: str = "answer",
        **options: Any,
    ) -> None:
        def convert(row: Row) -> Problem:
            text = str(row[problem])
            return Problem(id=content_id(text), prompt=text, answer=str(row[answer]))

        source = JsonlSource(path, convert, split=None if split == "all" else split)
        own = {"style": PromptStyle(note=NOTE)}
        super().__init__(source, BoxedVerifier(), **own | options)
