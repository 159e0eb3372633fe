"""A prompt and a list of steps, under any names."""

from __future__ import annotations

from collections.abc import Sequence

from srl_env.data.forms.form import Form, ReadOptions
from srl_env.data.forms.usual_columns import (
    STEPS,
    column_for,
    most_have,
    prompt_column,
    usual_columns,
)
from srl_env.data.rows import Converter, Row, StepList


def _is_step_list(row: Row, options: ReadOptions) -> bool:
    return _list_column(row, options) is not None and prompt_column(row, options) is not None


def _list_column(row: Row, options: ReadOptions) -> str | None:
    lists = [name for name in STEPS if isinstance(row.get(name), list) and row[name]]
    found = column_for(row, "steps", options, lists)
    return found if isinstance(row.get(found or ""), list) else None


def _step_list(rows: Sequence[Row], options: ReadOptions) -> Converter:
    steps = most_have(rows, lambda row: _list_column(row, options), "steps")
    return StepList(steps=steps, **usual_columns(rows, options, steps))


FORM = Form("steps", "a prompt and a list of steps, under any names", _is_step_list, _step_list)
