"""A prompt and a list of steps, under any names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from srl_env.data.forms.form import Form, ReadOptions
from srl_env.data.forms.usual_columns import column_in, column_of, other_columns
from srl_env.data.rows import Converter, Row, StepList


def _is_step_list(row: Row, options: ReadOptions) -> bool:
    return bool(column_in(row, "steps", options, _is_list) and column_in(row, "prompt", options))


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and bool(value)


def _step_list(rows: Sequence[Row], options: ReadOptions) -> Converter:
    steps = column_of(rows, "steps", options, _is_list)
    return StepList(steps=steps, **other_columns(rows, options, steps))


FORM = Form("steps", "a prompt and a list of steps, under any names", _is_step_list, _step_list)
