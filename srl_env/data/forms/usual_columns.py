"""Columns by their usual names, for columns that were not named."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from srl_env.data.forms.form import ReadOptions
from srl_env.data.rows import Row

# The first of these that a row has is taken.
USUAL: Mapping[str, Sequence[str]] = {
    "prompt": ("prompt", "question", "problem", "query", "instruction", "input"),
    "steps": (
        "steps", "solution_steps", "reasoning_steps", "rationale", "cot", "solution", "answer",
    ),
    "solution": (
        "deepseek_attempt", "solution", "response", "completion", "output", "generation",
        "rationale", "reasoning", "answer",
    ),
    "answer": (
        "final_answer", "answer", "expected_answer", "ground_truth", "target", "solution",
    ),
    "id": ("id", "problem_id", "uid", "unique_id"),
}  # fmt: skip

Usable = Callable[[Any], bool]


def is_text(value: Any) -> bool:
    """Whether a value is a text."""
    return isinstance(value, str)


def column_in(
    row: Row, kind: str, options: ReadOptions, usable: Usable = is_text, taken: str = ""
) -> str | None:
    """The column for prompt, steps, solution, answer or id: the named one, else the first usual
    one. None if no such column has a usable value, or only the one that is ``taken``."""
    names = [options.columns[kind]] if kind in options.columns else USUAL[kind]
    return next((name for name in names if name != taken and usable(row.get(name))), None)


def column_of(
    rows: Sequence[Row], kind: str, options: ReadOptions, usable: Usable = is_text, taken: str = ""
) -> str:
    """The column that most of the rows have; see ``column_in``."""
    found = [name for row in rows if (name := column_in(row, kind, options, usable, taken))]
    default = options.columns.get(kind, kind)
    return max(dict.fromkeys(found), key=found.count) if found else default


def other_columns(rows: Sequence[Row], options: ReadOptions, taken: str) -> dict[str, Any]:
    """The columns of prompt, answer and id. taken: the column of the solution."""
    return {
        "prompt": column_of(rows, "prompt", options),
        "answer": column_of(rows, "answer", options, _filled, taken),
        "id": column_of(rows, "id", options, _filled),
    }


def _filled(value: Any) -> bool:
    return value not in (None, "")
