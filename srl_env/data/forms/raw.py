"""Solutions as one text, which a splitter turns into steps."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from srl_env.data.forms.form import Form, ReadOptions
from srl_env.data.forms.gsm8k import MARKER
from srl_env.data.forms.splitters import SPLITTERS, Splitter, get_splitter, join_short, paragraphs
from srl_env.data.forms.usual_columns import column_in, column_of, other_columns
from srl_env.data.rows import BadRow, Converter, Row, answer_in, content_id, id_in, text_in
from srl_env.errors import BadOption
from srl_env.problem import ExpertStep, ExpertTrajectory, Problem
from srl_env.verifiers.boxed import last_boxed

_LONGEST_ANSWER = 200
_OTHER_BOX = re.compile(r"\\fbox\s*\{|\\boxed\s+([^\s{}$\\]+)")
_CONCLUSION = re.compile(
    r"""(?:answer|result|total)[^.\n$]{0,40}?(?:\bis\b|:|=)\s*
        (?:\$(?P<math>[^$\n]+)\$|(?P<plain>[^\s$]+))\s*\.?\s*\Z""",
    re.VERBOSE | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class RawSolution:
    r"""Converter of rows with a prompt and a solution that is one text.

    prompt, solution, answer, id: the columns. thought: the column with the expert's private
    reasoning, which becomes the first step's thought. grade: the column that says "Yes" if the
    solution is correct. split: the splitter (``srl_env.data.forms.splitters``). join_below: steps
    of fewer characters are joined with a neighbour. answer_step: a last step for solutions that do
    not state their answer, e.g. ``"#### {answer}"``.
    The answer is the one that the answer column states (``stated_answer``), else the one that the
    last line of the solution has after "####".
    """

    prompt: str = "question"
    solution: str = "solution"
    answer: str = "answer"
    id: str = "id"
    thought: str | None = None
    grade: str | None = None
    split: Splitter = paragraphs
    join_below: int = 0
    answer_step: str | None = None

    def __post_init__(self) -> None:
        if self.answer_step is not None and "{answer}" not in self.answer_step:
            raise BadOption(
                f"answer_step must contain {{answer}}; got {self.answer_step!r}. Fix: e.g. "
                "'#### {answer}'"
            )

    def __call__(self, row: Row) -> Problem:
        """The problem in a row; ``BadRow`` if there is none or its solution cannot be split."""
        prompt, solution = text_in(row, self.prompt).strip(), text_in(row, self.solution)
        steps = [_step(step) for step in join_short(self.split(solution), self.join_below)]
        answer = self._answer(row, solution)
        if self.answer_step is not None:
            if answer is None:
                raise BadRow("no answer for the last step", f'no "{self.answer}" in the row')
            steps.append(ExpertStep(self.answer_step.replace("{answer}", answer)))
        if not steps:
            raise BadRow("the splitter found no step", f"in a solution of {len(solution)} letters")
        if self.thought is not None:
            steps[0] = replace(steps[0], thought=text_in(row, self.thought).strip())
        own_id = id_in(row, self.id) or content_id(prompt)
        return Problem(own_id, prompt, answer, (ExpertTrajectory(tuple(steps)),))

    def _answer(self, row: Row, solution: str) -> str | None:
        reference = None if self.answer == self.solution else answer_in(row, self.answer)
        trusted = self.grade is not None and row.get(self.grade) == "Yes"
        return stated_answer(reference, solution, trusted=trusted) or _marked(solution)


def stated_answer(reference: str | None, solution: str, *, trusted: bool = False) -> str | None:
    """The answer to verify against. The reference states it in a box, as one short line, or at its
    end ("… so the answer is $42$.").

    Without a reference, or if it states none and the solution is trusted, the answer is what the
    solution has in a box. ``BadRow`` if the reference states none and the solution is not trusted.
    """
    reference = (reference or "").strip()
    boxed = last_boxed(_OTHER_BOX.sub(_as_boxed, reference))
    if boxed:
        return boxed
    if reference and len(reference) <= _LONGEST_ANSWER and "\n" not in reference:
        return reference
    if found := _CONCLUSION.search(reference[-_LONGEST_ANSWER:]):
        return (found["math"] or found["plain"]).strip().rstrip(".")
    if reference and not trusted:
        raise BadRow(
            "the reference states no answer",
            r"expected \boxed{…} or one line; a solution graded 'Yes' states it itself",
        )
    return last_boxed(solution) or None


def _as_boxed(found: re.Match[str]) -> str:
    return f"\\boxed{{{found[1]}}}" if found[1] else "\\boxed{"


def _marked(solution: str) -> str | None:
    """The text after "####" on the last line."""
    _, marker, answer = solution.strip().rpartition(MARKER)
    return answer.strip() if marker and "\n" not in answer.strip() else None


def _step(value: str | ExpertStep) -> ExpertStep:
    if isinstance(value, ExpertStep):
        return value
    if not isinstance(value, str) or not value.strip():
        raise BadRow("the splitter gave a step that is no text", f"got {value!r:.60}")
    return ExpertStep(value.strip())


def _is_raw(row: Row, options: ReadOptions) -> bool:
    return bool(column_in(row, "prompt", options) and column_in(row, "solution", options))


def _raw(rows: Sequence[Row], options: ReadOptions) -> Converter:
    solution = column_of(rows, "solution", options)
    return RawSolution(
        solution=solution,
        split=_splitter(rows, solution, options),
        join_below=options.join_below,
        answer_step=options.answer_step,
        **other_columns(rows, options, solution),
    )


def _splitter(rows: Sequence[Row], solution: str, options: ReadOptions) -> Splitter:
    """The named splitter, else the coarsest one that finds several steps in most of the rows."""
    if options.splitter is not None:
        return get_splitter(options.splitter)
    texts = [row[solution] for row in rows if isinstance(row.get(solution), str)]
    for name in ("paragraphs", "lines"):
        if 2 * sum(len(SPLITTERS[name](text)) > 1 for text in texts) > len(texts):
            return SPLITTERS[name]
    return SPLITTERS["sentences"]


FORM = Form("raw", "a prompt, and a solution that a splitter turns into steps", _is_raw, _raw)
