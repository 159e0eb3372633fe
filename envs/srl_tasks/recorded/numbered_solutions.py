r"""``srl/NumberedSolutions-v0``: solutions in steps "1. **Title** body", the answer boxed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from srl_env.data import Numbered
from srl_env.data.sources.source import OnBadRow
from srl_env.environment import ReasoningEnv
from srl_env.errors import UnknownName
from srl_env.text.prompt import PromptStyle
from srl_env.verifiers import BoxedVerifier
from srl_tasks.recorded.loading import RowData, Source, Split, check_options, open_problems

NOTE = r"The last step states the final answer in \boxed{}."
_COLUMNS = ("prompt", "solution", "answer", "id", "thought", "grade")


class NumberedSolutionsEnv(ReasoningEnv):
    r"""Solve a mathematics problem in titled steps; the last one has the answer in \boxed{}.

    **Task.** Competition mathematics, from s1K-1.1 or in its form: the setting of the paper
    that SRL comes from (arXiv:2510.25992).

    **Observation.** The problem and the solution so far, as ``srl_env.text.prompt`` lays them out;
    with ``show_titles=True`` also the title of the expert's next step.

    **Action.** ``<think>…</think>`` and the next step, without number and title; the last one
    holds ``\boxed{…}``.

    **Expert.** The body of each numbered step. Titles are context and never scored.

    **Reward.** By the reward mode: with "srl" the similarity to the expert's step, with "rlvr" 1
    for the correct answer at the end.

    **Episode end.** After the expert's last step (continuation "expert") or the first action
    with a box (continuation "policy"); truncated after ``max_steps``.

    **Info.** That of ``ReasoningEnv``; there is no step checker, ``legal`` is None. The verdict
    is math-verify's (extra "math"): ``\boxed{0.5}`` is ``\frac{1}{2}``. If it misses its deadline,
    ``info["failure"]`` says so and nothing is scored.

    **Data.** ``path``: a JSON-lines file with the columns "question", "deepseek_attempt" (the
    steps) and "solution" (the answer). ``columns`` names others: ``{"prompt": "task", "solution":
    "steps", "answer": "final"}``. Without a path, ``source`` is "hub", simplescaling/s1K-1.1
    (Muennighoff et al., arXiv:2501.19393, 1,000 problems, Apache-2.0; needs the extra "data"), or
    "sample", about fifty problems that ship. ``split``: "train", "dev", "test" or "all", see
    ``srl_tasks.recorded.loading``. ``on_bad_row``: "drop" skips solutions that are not in numbered
    steps, about a third of s1K-1.1, and ``env.problems.report`` lists them; "raise" stops there.

    **Versions.** v0: first.
    """

    offline_kwargs: ClassVar[dict[str, Any]] = {"source": "sample"}

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        source: Source = "hub",
        split: Split = "train",
        on_bad_row: OnBadRow = "drop",
        columns: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        """options: those of ``ReasoningEnv``."""
        check_options(type(self), options)
        data = RowData("numbered_solutions", _converter(columns or {}), "simplescaling/s1K-1.1")
        problems = open_problems(data, path, source, split, on_bad_row)
        super().__init__(problems, BoxedVerifier(), **{"style": PromptStyle(note=NOTE)} | options)


def _converter(columns: Mapping[str, str]) -> Numbered:
    for name in columns:
        if name not in _COLUMNS:
            raise UnknownName("column", name, _COLUMNS)
    return replace(Numbered(), **columns)  # type: ignore[arg-type]
