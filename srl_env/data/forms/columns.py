"""A guess of which column holds what, by the content of the columns."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from srl_env.data.rows import Row

_SHORT = 60  # characters of an answer
_END = 300  # characters of a solution in which its answer stands


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the first rows.

    filled, distinct, lists: fractions of the rows with a value, with different values, and with a
    list. length, lines: mean characters and lines of a text, 0 for a column without texts.
    example: the first value.
    """

    name: str
    filled: float
    distinct: float
    length: float
    lines: float
    lists: float
    example: object


def columns_of(rows: Sequence[Row]) -> list[Column]:
    """The columns of some rows, in order of first appearance."""
    names = dict.fromkeys(str(name) for row in rows for name in row)
    return [_column(name, rows) for name in names]


def proposed(rows: Sequence[Row]) -> dict[str, str]:
    """{prompt, steps or solution, answer: column} by content; {} if the content is unclear.

    The answer is the short column that most often ends another, which is the solution. If there is
    none, the solution is the text with most lines. The prompt is the longest remaining text.
    """
    columns = [column for column in columns_of(rows) if column.filled > 0.5]
    texts = [column for column in columns if column.length]
    lists = [column for column in columns if column.lists > 0.5]
    pair = max(
        (
            (_stands_in(rows, a, s), a, s)
            for a in texts
            for s in texts
            if a is not s and a.length <= _SHORT
        ),
        key=lambda found: found[0],
        default=(0.0, None, None),
    )
    answer, solution = (pair[1], pair[2]) if pair[0] > 0.5 else (None, None)
    if solution is None or lists:
        long = [c for c in texts if c is not answer and c.lines > 1]
        solution = lists[0] if lists else max(long, key=lambda c: c.lines, default=None)
    left = [c for c in texts if c not in (answer, solution) and c.distinct > 0.5]
    prompt = max(left, key=lambda c: c.length, default=None)
    if prompt is None or solution is None:
        return {}
    kind = "steps" if solution.lists > 0.5 else "solution"
    found = {"prompt": prompt.name, kind: solution.name}
    return found | ({} if answer is None else {"answer": answer.name})


def as_options(columns: Mapping[str, str]) -> str:
    """The command-line options that name these columns."""
    pairs = (shlex.quote(f"{name}={column}") for name, column in columns.items())
    return " ".join(f"--column {pair}" for pair in pairs)


def _column(name: str, rows: Sequence[Row]) -> Column:
    values = [value for row in rows if (value := row.get(name)) not in (None, "")]
    texts = [str(value) for value in values if isinstance(value, str | int | float)]
    return Column(
        name=name,
        filled=len(values) / len(rows),
        distinct=len({str(value) for value in values}) / len(rows),
        length=sum(map(len, texts)) / len(texts) if 2 * len(texts) > len(values) else 0.0,
        lines=sum(text.strip().count("\n") + 1 for text in texts) / max(len(texts), 1),
        lists=sum(isinstance(value, list) for value in values) / len(rows),
        example=values[0] if values else None,
    )


def _stands_in(rows: Sequence[Row], answer: Column, solution: Column) -> float:
    """The fraction of rows whose answer is a part of the end of the solution."""
    pairs = [(str(row.get(answer.name, "")), str(row.get(solution.name, ""))) for row in rows]
    found = [a and len(a) < len(s) and a.strip() in s[-_END:] for a, s in pairs]
    return sum(map(bool, found)) / len(rows)
