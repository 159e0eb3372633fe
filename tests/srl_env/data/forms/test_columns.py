"""Columns judged by what is in them."""

from __future__ import annotations

from typing import Any

import pytest

from srl_env.data.forms.columns import as_options, columns_of, proposed

GERMAN = [
    {"frage": "3/4 + 1/8?", "loesung": "1. It is 6/8.\n2. Add: 7/8", "antwort": "7/8", "x": "a"},
    {"frage": "Half of 20?", "loesung": "- 20 / 2 = 10\n- so 10", "antwort": "10", "x": "a"},
]  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "columns"),
    [
        (GERMAN, {"prompt": "frage", "solution": "loesung", "answer": "antwort"}),
        (
            [{"t": f"Add {n} and 1", "w": [f"{n} + 1", "done"], "r": n + 1} for n in range(9)],
            {"prompt": "t", "steps": "w"},
        ),
        (
            [{"a": f"What is {n} squared?", "b": f"{n} * {n}\nis {n * n}"} for n in range(2, 9)],
            {"prompt": "a", "solution": "b"},
        ),
        ([{"x": 1, "y": 2}], {}),
        ([], {}),
    ],
)  # fmt: skip
def test_prompt_solution_and_answer_are_proposed(rows: Any, columns: dict[str, str]) -> None:
    assert proposed(rows) == columns


def test_the_proposal_is_what_confirms_it_on_the_command_line() -> None:
    assert as_options({"prompt": "my task", "solution": "b"}) == (
        "--column 'prompt=my task' --column solution=b"
    )


def test_a_column_is_described_by_its_values() -> None:
    column = columns_of([{"a": "xy"}, {"a": ""}])[0]
    assert (column.filled, column.distinct, column.length) == (0.5, 0.5, 2)
