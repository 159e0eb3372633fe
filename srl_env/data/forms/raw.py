"""Solutions as one text, which a splitter makes into steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from srl_env.data.forms.form import Form, ReadOptions
from srl_env.data.forms.gsm8k import MARKER
from srl_env.data.forms.numbered import stated_answer
from srl_env.data.forms.splitters import SPLITTERS, Splitter, get_splitter, join_short, paragraphs
from srl_env.data.forms.usual_columns import (
    most_have,
    prompt_column,
    solution_column,
    usual_columns,
)
from srl_env.data.rows import BadRow, Converter, Row, answer_in, content_id, id_in, text_in
from srl_env.errors import BadOption
from srl_env.problem import ExpertStep, ExpertTrajectory, Problem


@dataclass(frozen=True, slots=True)
class RawSolution:
    r"""Converter of rows with a prompt and a solution that is one text.

    prompt, solution, answer, id: the columns. split: the splitter
    (``srl_env.data.forms.splitters``). join_below: steps of fewer characters are joined with their
    neighbour. answer_step: the last step, with the answer for ``{answer}``, where solutions do not
    state it: ``"#### {answer}"``. The answer is what the answer column has in its last
    ``\boxed{…}``, else its text where that is one short line, else what the solution has boxed or,
    on its last line, after "####".
    """

    prompt: str = "question"
    solution: str = "solution"
    answer: str = "answer"
    id: str = "id"
    split: Splitter = paragraphs
    join_below: int = 0
    answer_step: str | None = None

    def __post_init__(self) -> None:
        if self.answer_step is not None and "{answer}" not in self.answer_step:
            raise BadOption(
                f"the answer step must have {{answer}} in it, as '#### {{answer}}'; "
                f"got {self.answer_step!r}"
            )

    def __call__(self, row: Row) -> Problem:
        """The problem in a row; ``BadRow`` where it is none or cannot be split."""
        prompt, solution = text_in(row, self.prompt).strip(), text_in(row, self.solution)
        reference = None if self.answer == self.solution else answer_in(row, self.answer)
        answer = stated_answer(reference, solution) or _marked(solution)
        steps = [_step(step) for step in join_short(self.split(solution), self.join_below)]
        if self.answer_step is not None:
            if answer is None:
                raise BadRow("no answer for the last step", f'no "{self.answer}" in the row')
            steps.append(ExpertStep(self.answer_step.replace("{answer}", answer)))
        if not steps:
            raise BadRow("the splitter found no step", f"in a solution of {len(solution)} letters")
        own_id = id_in(row, self.id) or content_id(prompt)
        return Problem(own_id, prompt, answer, (ExpertTrajectory(tuple(steps)),))


def _marked(solution: str) -> str | None:
    """What stands after "####" on the last line."""
    _, marker, answer = solution.strip().rpartition(MARKER)
    return answer.strip() if marker and "\n" not in answer.strip() else None


def _step(value: str | ExpertStep) -> ExpertStep:
    if isinstance(value, ExpertStep):
        return value
    if not isinstance(value, str) or not value.strip():
        raise BadRow("the splitter gave a step that is no text", f"got {value!r:.60}")
    return ExpertStep(value.strip())


def _is_raw(row: Row, options: ReadOptions) -> bool:
    return prompt_column(row, options) is not None and solution_column(row, options) is not None


def _raw(rows: Sequence[Row], options: ReadOptions) -> Converter:
    solution = most_have(rows, lambda row: solution_column(row, options), "solution")
    return RawSolution(
        solution=solution,
        split=_splitter(rows, solution, options),
        join_below=options.join_below,
        answer_step=options.answer_step,
        **usual_columns(rows, options, solution),
    )


def _splitter(rows: Sequence[Row], solution: str, options: ReadOptions) -> Splitter:
    """The splitter that was named, else the coarsest that finds steps in most of the rows."""
    if options.splitter is not None:
        return get_splitter(options.splitter)
    texts = [row[solution] for row in rows if isinstance(row.get(solution), str)]
    for name in ("paragraphs", "lines"):
        if 2 * sum(len(SPLITTERS[name](text)) > 1 for text in texts) > len(texts):
            return SPLITTERS[name]
    return SPLITTERS["sentences"]


FORM = Form("raw", "a prompt, and a solution that a splitter makes into steps", _is_raw, _raw)
