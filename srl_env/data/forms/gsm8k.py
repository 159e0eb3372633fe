"""Rows of GSM8K: grade-school word problems with solutions line by line.

The columns are "question" and "answer". An answer has one line per step, with calculator
annotations such as ``<<48/2=24>>``, and ``#### 72`` at the end.
Data: Cobbe et al., arXiv:2110.14168, MIT licence; "openai/gsm8k" on the hub.
"""

from __future__ import annotations

import re

from srl_env.data.forms.form import Form, ReadOptions
from srl_env.data.rows import BadRow, Row, content_id, text_in
from srl_env.problem import ExpertStep, ExpertTrajectory, Problem
from srl_env.verifiers.answers import number_in

MARKER = "####"
ANNOTATION = re.compile(r"<<[^<>\n]*>>")


def gsm8k_problem(row: Row) -> Problem:
    """The problem in a row: each line of the solution is a step, the last step "#### 72".

    Annotations are removed, blank lines skipped. ``BadRow`` if no number follows the last ``####``
    or no line comes before it.
    """
    question, solution = text_in(row, "question").strip(), text_in(row, "answer")
    body, marker, answer = solution.rpartition(MARKER)
    answer = answer.strip()
    if not marker:
        raise BadRow('no "####" in "answer"', 'a solution ends with a line like "#### 72"')
    if MARKER in body:
        raise BadRow('more than one "####" in "answer"', "only the last line has it")
    if number_in(answer) is None or "\n" in answer:
        raise BadRow(
            'no number after "####"',
            f'got {answer[:40]!r}; the last line is the number alone, like "#### 72"',
        )
    lines = [line.strip() for line in ANNOTATION.sub("", body).split("\n")]
    steps = [ExpertStep(line) for line in lines if line]
    if not steps:
        raise BadRow('nothing before "####" in "answer"', "a solution needs a line of work")
    steps.append(ExpertStep(f"{MARKER} {answer}"))
    return Problem(content_id(question), question, answer, (ExpertTrajectory(tuple(steps)),))


def _is_gsm8k(row: Row, options: ReadOptions) -> bool:
    question, answer = row.get("question"), row.get("answer")
    return (
        not options.columns
        and isinstance(question, str)
        and isinstance(answer, str)
        and _GSM8K_END.search(answer) is not None
    )


_GSM8K_END = re.compile(rf"\n{MARKER}[^\n]*\d[^\n]*\s*\Z")


FORM = Form(
    "gsm8k",
    '"question", and "answer" with lines and "#### 72" at the end',
    _is_gsm8k,
    lambda rows, options: gsm8k_problem,
    verifier="numeric",
)
