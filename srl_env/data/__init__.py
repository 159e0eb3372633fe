"""Problems from files and data sets: read lazily, checked row by row."""

from srl_env.data.gsm8k import gsm8k_problem
from srl_env.data.hub import DatasetSource
from srl_env.data.jsonl import JsonlSource, write_jsonl
from srl_env.data.listed import ListSource
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
from srl_env.data.swe_instances import (
    SWEInstance,
    read_instances,
    reverse_patch,
    swe_instance,
    swe_problem,
)
from srl_env.data.swe_trajectories import SWETrajectory, TrajSource, open_trajectories

__all__ = [
    "SHARES",
    "BadRow",
    "Converter",
    "DatasetSource",
    "DropReport",
    "JsonlSource",
    "ListSource",
    "Numbered",
    "Row",
    "RowSource",
    "SWEInstance",
    "SWETrajectory",
    "StepList",
    "TrajSource",
    "content_id",
    "gsm8k_problem",
    "numbered_steps",
    "open_trajectories",
    "problem_from_row",
    "read_instances",
    "reverse_patch",
    "row_from_problem",
    "split_of",
    "swe_instance",
    "swe_problem",
    "write_jsonl",
]
