"""Problems from files and data sets: read lazily, checked row by row."""

from srl_env.data.gsm8k import gsm8k_problem
from srl_env.data.hub import DatasetSource
from srl_env.data.jsonl import JsonlSource, write_jsonl
from srl_env.data.numbered import Numbered, numbered_steps
from srl_env.data.report import DropReport
from srl_env.data.rows import (
    BadRow,
    Converter,
    Row,
    StepList,
    content_id,
    problem_from_row,
    row_from_problem,
)
from srl_env.data.source import RowSource
from srl_env.data.splits import SHARES, split_of

__all__ = [
    "SHARES",
    "BadRow",
    "Converter",
    "DatasetSource",
    "DropReport",
    "JsonlSource",
    "Numbered",
    "Row",
    "RowSource",
    "StepList",
    "content_id",
    "gsm8k_problem",
    "numbered_steps",
    "problem_from_row",
    "row_from_problem",
    "split_of",
    "write_jsonl",
]
