"""Problems from files and data sets: read lazily, checked row by row."""

from typing import TYPE_CHECKING

from srl_env.data.drops import DropReport
from srl_env.data.forms.form import Form, ReadOptions
from srl_env.data.rows import (
    BadRow,
    Converter,
    Row,
    StepList,
    content_id,
    problem_from_row,
    row_from_problem,
)
from srl_env.data.sources.hub import DatasetSource
from srl_env.data.sources.jsonl import JsonlSource, write_jsonl
from srl_env.data.sources.listed import ListSource
from srl_env.data.sources.source import RowSource
from srl_env.data.splits import FRACTIONS, split_of
from srl_env.lazy import lazy_names

if TYPE_CHECKING:
    from srl_env.data.forms.detect import Reading, read_problems
    from srl_env.data.forms.gsm8k import gsm8k_problem
    from srl_env.data.forms.numbered import Numbered
    from srl_env.data.forms.splitters import numbered_steps
    from srl_env.data.forms.swe_instances import reverse_patch, swe_problem
    from srl_env.data.forms.swe_trajectories import SWETrajectory, open_trajectories
    from srl_env.data.quality.lint import LintReport, lint
    from srl_env.data.quality.rules import LintOptions


__all__ = [
    "FRACTIONS",
    "BadRow",
    "Converter",
    "DatasetSource",
    "DropReport",
    "Form",
    "JsonlSource",
    "LintOptions",
    "LintReport",
    "ListSource",
    "Numbered",
    "ReadOptions",
    "Reading",
    "Row",
    "RowSource",
    "SWETrajectory",
    "StepList",
    "content_id",
    "gsm8k_problem",
    "lint",
    "numbered_steps",
    "open_trajectories",
    "problem_from_row",
    "read_problems",
    "reverse_patch",
    "row_from_problem",
    "split_of",
    "swe_problem",
    "write_jsonl",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "forms.detect": ("Reading", "read_problems"),
        "forms.gsm8k": ("gsm8k_problem",),
        "forms.numbered": ("Numbered",),
        "forms.splitters": ("numbered_steps",),
        "forms.swe_instances": ("reverse_patch", "swe_problem"),
        "forms.swe_trajectories": ("SWETrajectory", "open_trajectories"),
        "quality.lint": ("LintReport", "lint"),
        "quality.rules": ("LintOptions",),
    },
)
