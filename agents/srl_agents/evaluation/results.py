"""Results on disk: a summary as JSON, and a table with one row for each problem."""

from __future__ import annotations

import csv
import json
from array import array
from dataclasses import asdict, fields, replace
from math import isnan, nan
from pathlib import Path

from srl_agents.evaluation.scoring import EvalResult, shared, without_nan
from srl_agents.runs.files import write_json, writing_whole
from srl_env.errors import BadData

RESULT, PROBLEMS = "result.json", "problems.csv"
_TABLE = ("problem_ids", "scores")


def write_result(folder: Path, result: EvalResult) -> None:
    """Writes ``result.json``, with the estimates, and ``problems.csv``.

    The table has a column for each score; a cell without one is empty.
    """
    with writing_whole(folder / PROBLEMS) as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["problem", *result.scores])
        for problem, *scores in zip(result.problem_ids, *result.scores.values(), strict=True):
            rows.writerow([problem, *("" if isnan(score) else repr(score) for score in scores)])
    summary = {f.name: getattr(result, f.name) for f in fields(result) if f.name not in _TABLE}
    estimates = {name: asdict(each) for name, each in result.estimates().items()}
    write_json(folder / RESULT, without_nan(summary | {"estimates": estimates}))


def read_result(folder: Path) -> EvalResult:
    """The result in a folder. Raises BadData if it cannot be read."""
    path = folder / RESULT
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
        result = EvalResult.from_json(summary | {"problem_ids": (), "scores": {}})
        path = folder / PROBLEMS
        ids, scores = _read_table(path)
        return replace(result, problem_ids=ids, scores=scores)
    except (OSError, ValueError, TypeError, StopIteration, csv.Error) as error:
        got = f"{type(error).__name__}: {error}".splitlines()[0]
        raise BadData(
            f"{path} must be written by srl-env eval; got {got:.200}. Fix: srl-env eval --resume"
            f" {folder} writes it again"
        ) from error


def _read_table(path: Path) -> tuple[tuple[str, ...], dict[str, tuple[float, ...]]]:
    """The ids of the problems, and {score: one value for each}."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        names = next(rows)[1:]
        ids, columns = list[str](), [array("d") for _ in names]
        for problem, *cells in rows:
            ids.append(problem)
            for column, cell in zip(columns, cells, strict=True):
                column.append(float(cell) if cell else nan)
    scores = {name: shared(column) for name, column in zip(names, columns, strict=True)}
    return tuple(ids), scores
