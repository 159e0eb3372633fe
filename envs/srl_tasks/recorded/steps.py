r"""``srl/Steps-v0``: an environment made of a file of problems with expert steps, no class needed.

``srl_env.make("steps:problems.jsonl")`` is short for ``srl_env.make("srl/Steps-v0",
path="problems.jsonl")``, and so wherever an id is taken.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, get_args

from srl_env.data import BadRow, Converter, Row, problem_from_row
from srl_env.data.forms.detect import UnknownForm, read_problems
from srl_env.data.forms.form import ReadOptions
from srl_env.data.sources.jsonl import file_path
from srl_env.data.sources.source import OnBadRow, RowSource
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadOption, UnknownName
from srl_env.problem import ExpertStep, ExpertTrajectory, Problem
from srl_env.text.prompt import PromptStyle
from srl_env.verifiers import BoxedVerifier, StatedVerifier
from srl_env.verifiers.boxed import last_boxed
from srl_tasks.recorded.loading import SAMPLES, Split, open_file

Answers = Literal["stated", "math"]

NOTE = "The last step is the answer alone: a line with #### and the answer."
BOXED_NOTE = r"The last step states the final answer in \boxed{}."


class StepsEnv(ReasoningEnv):
    r"""Solve the problems of a file step by step: any JSON lines with a prompt, steps, an answer.

    **Task.** What the file's prompts say.

    **Observation.** The problem and the solution so far, as ``srl_env.text.prompt`` lays them out;
    with ``show_titles=True`` also the title of the expert's next step, where the file has titles.

    **Action.** ``<think>…</think>`` and the next step; the last one states the answer.

    **Expert.** The steps of the file. Where the last of them does not state the answer, one that
    does is put behind it: "#### 9", or ``\boxed{9}`` with ``answers="math"``.

    **Reward.** By the reward mode: with "srl" the likeness to the expert's step, with "rlvr" 1
    for the right answer at the end.

    **Episode end.** After the expert's last step (continuation "expert") or the first action
    with "####" or a box (continuation "policy"); cut off after ``max_steps``.

    **Info.** That of ``ReasoningEnv``; there is no step checker, ``legal`` is None.
    ``answers="stated"`` compares numbers as numbers and all else as text
    (``srl_env.verifiers.StatedVerifier``), "math" compares mathematics with math-verify (extra
    "math").

    **Data.** ``path``: a file of JSON lines, JSON, CSV, TSV, XLSX or Parquet, or a folder of them.
    Rows may have any form with a prompt and a solution that ``srl-env data inspect`` recognises
    (``srl_env.data.forms``); ``columns`` names columns with other names:
    ``{"prompt": "question", "steps": "solution_steps"}``.
    ``split``: by the hash of the ids, nine tenths are "train", a twentieth each "dev" and "test";
    in a folder with a file for each split, that file; "all" is everything. ``on_bad_row``:
    "raise" or "drop".

    **Versions.** v0: first.
    """

    offline_kwargs: ClassVar[dict[str, Any]] = {
        "path": str(SAMPLES / "numbered_solutions.jsonl"),
        "answers": "math",
    }

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        split: Split = "train",
        answers: Answers = "stated",
        columns: Mapping[str, str] | None = None,
        on_bad_row: OnBadRow = "raise",
        **options: Any,
    ) -> None:
        """options: those of ``ReasoningEnv``."""
        if path is None:
            raise BadOption("srl/Steps-v0 needs a file: path='problems.jsonl', or steps:FILE as id")
        if answers not in get_args(Answers):
            raise UnknownName("kind of answers", str(answers), get_args(Answers))
        convert = StepsRow(answers, _converter(path, columns or {}))
        problems = open_file(path, convert, split, on_bad_row)
        verifier = BoxedVerifier() if answers == "math" else StatedVerifier()
        defaults = {"style": PromptStyle(note=_note(problems))}
        super().__init__(problems, verifier, **defaults | options)


@dataclass(frozen=True, slots=True)
class StepsRow:
    """Converter of rows whose experts then all state the answer at the end.

    read: the converter of the rows' form.
    """

    answers: Answers = "stated"
    read: Converter = problem_from_row

    def __call__(self, row: Row) -> Problem:
        """The problem in a row; ``BadRow`` where it is none, or cannot be verified."""
        problem = self.read(row)
        if problem.answer is None or not problem.answer.strip():
            raise BadRow('no "answer"', "a row needs one to be verified by")
        if not problem.trajectories:
            raise BadRow('no "steps"', "a row needs a list of the expert's steps")
        ways = tuple(self._answered(way, problem.answer) for way in problem.trajectories)
        return replace(problem, trajectories=ways)

    def _answered(self, way: ExpertTrajectory, answer: str) -> ExpertTrajectory:
        """The trajectory, which states its answer in its last step and in none before."""
        for number, step in enumerate(way.steps[:-1], 1):
            if self._states(step.action):
                raise BadRow(
                    "a step before the last states an answer",
                    f"step {number} does; take #### or the box out of it, or end there",
                )
        if self._states(way.steps[-1].action):
            return way
        said = f"\\boxed{{{answer}}}" if self.answers == "math" else f"#### {answer}"
        found = last_boxed(said) if self.answers == "math" else StatedVerifier().extract(said)
        if found != answer.strip():
            raise BadRow("the answer cannot be stated on a line", f"got {answer[:40]!r}")
        return replace(way, steps=(*way.steps, ExpertStep(said)))

    def _states(self, action: str) -> bool:
        boxed = last_boxed(action) is not None
        return boxed if self.answers == "math" else StatedVerifier().extract(action) is not None


def _converter(path: str | os.PathLike[str], columns: Mapping[str, str]) -> Converter:
    """The converter of the form that the rows have; ``BadOption`` where they hold no answers."""
    try:
        reading = read_problems([file_path(path).expanduser()], ReadOptions(columns=columns))
    except UnknownForm as error:
        if "prompt" in error.rows[0]:  # one of ours, with a mistake that its row tells
            return problem_from_row
        raise
    if reading.form.verifier in ("none", "calls"):
        raise BadOption(
            f"srl/Steps-v0 needs rows with a prompt, steps and an answer; got {path}, with "
            f"rows of the form {reading.form.name} ({reading.form.about})"
        )
    return reading.convert


def _note(problems: RowSource) -> str:
    """How the prompt says to state the answer: as the first problem's expert does."""
    last = problems[0].trajectories[0].steps[-1].action
    return NOTE if "####" in last else BOXED_NOTE
