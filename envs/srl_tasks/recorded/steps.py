r"""``srl/Steps-v0``: an environment made of a file of problems with expert steps, no class needed.

``srl_env.make("steps:problems.jsonl")`` is short for ``srl_env.make("srl/Steps-v0",
path="problems.jsonl")``, and so wherever an id is taken.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields, replace
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
from srl_tasks.recorded.loading import SAMPLES, Split, check_options, open_file

Answers = Literal["stated", "math"]

NOTE = "The last step is the answer alone: a line with #### and the answer."
BOXED_NOTE = r"The last step states the final answer in \boxed{}."
_READING = [f.name for f in fields(ReadOptions) if f.name not in ("splits", "resolved_only")]


class StepsEnv(ReasoningEnv):
    r"""Solve the problems of a file step by step: any rows with a prompt and an answer.

    **Task.** The prompts of the file.

    **Observation.** The problem and the solution so far, as ``srl_env.text.prompt`` lays them out;
    with ``show_titles=True`` also the title of the expert's next step, if the file has titles.

    **Action.** ``<think>…</think>`` and the next step; the last one states the answer.

    **Expert.** The steps of the file. If the last one does not state the answer, a step that does
    is added: "#### 9", or ``\boxed{9}`` with ``answers="math"``. Rows without steps have no expert.

    **Reward.** By the reward mode: with "srl" the similarity to the expert's step, with "rlvr" 1
    for the correct answer at the end.

    **Episode end.** After the expert's last step (continuation "expert") or the first action
    with "####" or a box (continuation "policy"); truncated after ``max_steps``.

    **Info.** That of ``ReasoningEnv``; there is no step checker, ``legal`` is None.
    ``answers="stated"`` compares numbers as numbers and everything else as text
    (``srl_env.verifiers.StatedVerifier``), "math" compares mathematics with math-verify (extra
    "math").

    **Data.** ``path``: a file of JSON lines, JSON, CSV, TSV, XLSX or Parquet, or a folder of them.
    Rows may have any form with a prompt and a solution that ``srl-env data inspect`` recognises.
    ``columns`` names columns with other names: ``{"prompt": "question", "steps": "how"}``; so do
    ``form``, ``splitter``, ``join_below`` and ``answer_step`` (``srl_env.data.ReadOptions``).
    ``split``: by the hash of the ids, 90 % are "train", 5 % each "dev" and "test"; in a folder with
    one file per split, that file; "all" is everything. ``on_bad_row``: "raise" or "drop".

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
        on_bad_row: OnBadRow = "raise",
        **options: Any,
    ) -> None:
        """options: those of ``ReadOptions`` and of ``ReasoningEnv``."""
        if path is None:
            raise BadOption("srl/Steps-v0 needs a file: path='problems.jsonl', or steps:FILE as id")
        if answers not in get_args(Answers):
            raise UnknownName("kind of answers", str(answers), get_args(Answers))
        reading = {name: options.pop(name) for name in _READING if name in options}
        check_options(type(self), options, _READING)
        convert = StepsRow(answers, _converter(path, ReadOptions(**reading)))
        problems = open_file(path, convert, split, on_bad_row)
        verifier = BoxedVerifier() if answers == "math" else StatedVerifier()
        defaults = {"style": PromptStyle(note=_note(problems, answers))}
        super().__init__(problems, verifier, **defaults | options)


@dataclass(frozen=True, slots=True)
class StepsRow:
    """Converter of rows, which makes every expert state the answer at the end.

    read: the converter of the rows' form.
    """

    answers: Answers = "stated"
    read: Converter = problem_from_row

    def __call__(self, row: Row) -> Problem:
        """The problem in a row; ``BadRow`` if there is none, or if it cannot be verified."""
        problem = self.read(row)
        if problem.answer is None or not problem.answer.strip():
            raise BadRow('no "answer"', _wanted("one to be verified by", "answer", row))
        answered = tuple(self._answered(t, problem.answer) for t in problem.trajectories)
        return replace(problem, trajectories=answered)

    def _answered(self, trajectory: ExpertTrajectory, answer: str) -> ExpertTrajectory:
        """The trajectory, which states its answer in its last step and in none before."""
        *before, last = map(self._stated, trajectory.actions)
        for number, found in enumerate(before, 1):
            if found is not None:
                raise BadRow(
                    "a step before the last states an answer",
                    f"step {number} does; take #### or the box out of it, or end there",
                )
        if last is not None:
            return trajectory
        text = f"\\boxed{{{answer}}}" if self.answers == "math" else f"#### {answer}"
        if self._stated(text) != answer.strip():
            raise BadRow("the answer cannot be stated on a line", f"got {answer[:40]!r}")
        return replace(trajectory, steps=(*trajectory.steps, ExpertStep(text)))

    def _stated(self, action: str) -> str | None:
        return last_boxed(action) if self.answers == "math" else StatedVerifier().extract(action)


def _converter(path: str | os.PathLike[str], options: ReadOptions) -> Converter:
    """The converter of the form that the rows have; ``BadOption`` if they hold no answers."""
    try:
        reading = read_problems([file_path(path).expanduser()], options)
    except UnknownForm as error:
        if "prompt" in error.rows[0]:  # a canonical row with a mistake, which the converter names
            return problem_from_row
        raise
    if reading.form.verifier in ("none", "calls"):
        raise BadOption(
            f"srl/Steps-v0 needs rows with a prompt and an answer; got {path}, with "
            f"rows of the form {reading.form.name} ({reading.form.about})"
        )
    return reading.convert


def _wanted(what: str, column: str, row: Row) -> str:
    """What a row needs, what it has, and what to do."""
    return (
        f"a row needs {what}; it has {', '.join(map(str, row))}. Fix: add {column}, or name the"
        f' column that has it: columns={{"{column}": "NAME"}}'
    )


def _note(problems: RowSource, answers: Answers) -> str:
    """How the prompt asks for the answer: as the first problem's expert states it, if it can."""
    found = problems[0].trajectories
    boxed = "####" not in found[0].steps[-1].action if found else answers == "math"
    return BOXED_NOTE if boxed else NOTE
