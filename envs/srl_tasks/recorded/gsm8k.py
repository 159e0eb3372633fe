"""``srl/GSM8K-v0``: grade-school word problems; the smallest environment, made for copying."""

from __future__ import annotations

import os
from typing import Any, ClassVar

from srl_env.data import gsm8k_problem
from srl_env.data.sources.source import OnBadRow
from srl_env.environment import ReasoningEnv
from srl_env.text.prompt import PromptStyle
from srl_env.text.registry import ONE_LINE
from srl_env.verifiers import NumericVerifier
from srl_tasks.recorded.loading import RowData, Source, Split, check_options, open_problems

GSM8K = RowData("gsm8k", gsm8k_problem, "openai/gsm8k", hub_config="main", hub_test=True)
NOTE = "The last step is the answer alone: a line with #### and the number."


class GSM8KEnv(ReasoningEnv):
    """Solve a word problem line by line; the last line is "#### 72".

    **Task.** Word problems of two to eight calculations, from GSM8K or in its form.

    **Observation.** The problem and the solution so far, as ``srl_env.text.prompt`` lays them out.

    **Action.** ``<think>…</think>`` and the next line of the solution; the last action is
    "####" and the number.

    **Expert.** One step for each line of the recorded solution, without its calculator
    annotations and without thoughts, then the answer.

    **Reward.** By the reward mode: with "srl" the similarity to the expert's line, with "rlvr" 1
    for the correct number at the end.

    **Episode end.** After the expert's last step (continuation "expert") or the first action
    with "####" (continuation "policy"); truncated after ``max_steps``.

    **Info.** That of ``ReasoningEnv``; there is no step checker, ``legal`` is None. The verdict
    compares numbers exactly: "#### $1,234.00" is 1234.

    **Data.** ``path``: a JSON-lines file with the columns "question" and "answer". Without a path,
    ``source`` is "hub", openai/gsm8k (Cobbe et al., arXiv:2110.14168, MIT licence, 7,473 problems
    for training and 1,319 for testing; needs the extra "data"), or "sample", about fifty problems
    that ship. ``split``: "train", "dev", "test" or "all", see ``srl_tasks.recorded.loading``.
    ``on_bad_row``: "raise" or "drop".

    **Versions.** v0: first.
    """

    offline_kwargs: ClassVar[dict[str, Any]] = {"source": "sample"}
    formats = ONE_LINE

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        source: Source = "hub",
        split: Split = "train",
        on_bad_row: OnBadRow = "raise",
        **options: Any,
    ) -> None:
        """options: those of ``ReasoningEnv``."""
        check_options(type(self), options)
        problems = open_problems(GSM8K, path, source, split, on_bad_row)
        super().__init__(problems, NumericVerifier(), **{"style": PromptStyle(note=NOTE)} | options)
