"""Columns by their usual names, where they are not named."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from srl_env.data.forms.form import ReadOptions
from srl_env.data.rows import Row

# Where columns are not named, the first of these that a row has.
PROMPTS = ("prompt", "question", "problem", "query", "instruction", "input")


STEPS = ("steps", "solution_steps", "reasoning_steps", "rationale", "cot", "solution", "answer")


SOLUTIONS = (
    "deepseek_attempt",
    "solution",
    "response",
    "completion",
    "output",
    "generation",
    "rationale",
    "reasoning",
    "answer",
)


ANSWERS = ("final_answer", "answer", "expected_answer", "ground_truth", "target", "solution")


IDS = ("id", "problem_id", "uid", "unique_id")


def column_for(row: Row, kind: str, options: ReadOptions, usual: Sequence[str]) -> str | None:
    """The column for a kind of thing: the one that was named, else the first usual one."""
    if kind in options.columns:
        return options.columns[kind]
    return next((name for name in usual if row.get(name) not in (None, "")), None)


def text_column(row: Row, kind: str, options: ReadOptions, usual: Sequence[str]) -> str | None:
    texts = [name for name in usual if isinstance(row.get(name), str)]
    return column_for(row, kind, options, texts)


def prompt_column(row: Row, options: ReadOptions) -> str | None:
    return text_column(row, "prompt", options, PROMPTS)


def solution_column(row: Row, options: ReadOptions) -> str | None:
    return text_column(row, "solution", options, SOLUTIONS)


def most_have(rows: Sequence[Row], column: Callable[[Row], str | None], otherwise: str) -> str:
    """The column that most of the rows have."""
    found = [name for name in map(column, rows) if name is not None]
    return max(dict.fromkeys(found), key=found.count) if found else otherwise


def usual_columns(rows: Sequence[Row], options: ReadOptions, taken: str) -> dict[str, str]:
    """The columns of prompt, answer and id; the answer is not where the solution is."""
    answers = [name for name in ANSWERS if name != taken]
    return {
        "prompt": most_have(rows, lambda row: prompt_column(row, options), "prompt"),
        "answer": most_have(
            rows, lambda row: column_for(row, "answer", options, answers), "answer"
        ),
        "id": most_have(rows, lambda row: column_for(row, "id", options, IDS), "id"),
    }
