"""Solutions in numbered steps: ``1. **Title** body``, as in s1K-1.1, or a plain list.

Data: Muennighoff et al., arXiv:2501.19393, Apache-2.0; "simplescaling/s1K-1.1" on the hub,
with the columns "question", "solution" (the reference) and "deepseek_attempt" (the steps).
About a third of the attempts are written differently and cannot be used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from srl_env.data.forms.form import Form, ReadOptions
from srl_env.data.forms.raw import RawSolution
from srl_env.data.forms.splitters import Splitter, numbered_steps
from srl_env.data.forms.usual_columns import column_in, column_of, other_columns
from srl_env.data.rows import BadRow, Converter, Row


@dataclass(frozen=True, slots=True)
class Numbered(RawSolution):
    """Converter of rows whose solutions are in numbered steps; the columns are those of s1K-1.1."""

    solution: str = "deepseek_attempt"
    answer: str = "solution"
    grade: str | None = "deepseek_grade"
    split: Splitter = numbered_steps


def _is_numbered(row: Row, options: ReadOptions) -> bool:
    return bool(
        column_in(row, "prompt", options)
        and "steps" not in options.columns
        and column_in(row, "solution", options, _has_numbered_steps)
    )


def _has_numbered_steps(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(numbered_steps(value))
    except BadRow:
        return False


def _numbered(rows: Sequence[Row], options: ReadOptions) -> Converter:
    solution = column_of(rows, "solution", options, _has_numbered_steps)
    return Numbered(solution=solution, **other_columns(rows, options, solution))


FORM = Form(
    "numbered", 'a prompt, and a solution in steps "1. **Title** body"', _is_numbered, _numbered
)
