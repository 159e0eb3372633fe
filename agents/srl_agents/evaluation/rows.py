"""Rows of a study: what is left of each finished run of a comparison, in Parquet files.

    write_row(outcome, Path("docs/results/words"))    # docs/results/words/srl-0.parquet
    outcomes = read_rows("docs/results/words")        # [RunOutcome, …], sorted by name

A row is a ``RunOutcome``: scores of every problem on the test problems and on those of other
environments, the usage, and where it comes from (commit, hash of the weights it started from,
processor). One file holds one row, so that rows of many sittings and machines can be committed
beside each other. A file is written whole or not at all.

Columns are the fields of ``RunOutcome``. ``settings`` are JSON texts; ``scores`` are maps from a
score's name to one number for each of ``problem_ids``, NaN where there is none. A file without a
column, as one that an older version wrote, has the field's default.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from srl_agents.evaluation.contrasts import RunOutcome
from srl_agents.runs.episode_rows import arrow
from srl_env.errors import BadData, BadOption

SUFFIX = ".parquet"
ROWS = "rows"
"""Where a comparison's folder has its rows, if they have no other place."""


def row_path(folder: Path, name: str) -> Path:
    """The file of the row of the run with this name, the name of its folder."""
    return folder / f"{name}{SUFFIX}"


def write_row(outcome: RunOutcome, folder: Path) -> Path:
    """Writes the row of a finished run; returns its file, which replaces an earlier one.

    Raises OSError if it cannot be written; then the earlier one is unchanged.
    """
    pa, parquet = arrow()
    path = row_path(folder, Path(outcome.folder).name)
    folder.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.part")
    table = pa.Table.from_pylist([_to_columns(outcome)], schema=_schema(pa))
    try:
        parquet.write_table(table, draft, compression="zstd")
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return path


def read_row(path: Path) -> RunOutcome:
    """The row in a file. Raises BadData if it cannot be read."""
    pa, parquet = arrow()
    try:
        (columns,) = parquet.read_table(path).to_pylist(maps_as_pydicts="strict")
        return RunOutcome.from_json(_from_columns(columns))
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        got = f"{type(error).__name__}: {error}".splitlines()[0]
        raise BadData(
            f"{path}: must hold the row of a finished run; got {got}. Fix: delete it; its run is"
            " then made again"
        ) from error


def read_rows(folder: str | Path) -> list[RunOutcome]:
    """All rows in a folder, sorted by name; [] without a folder.

    Raises BadData for a file that cannot be read, BadOption for what ``check_weights`` refuses.
    """
    rows = [read_row(path) for path in sorted(Path(folder).glob(f"*{SUFFIX}"))]
    check_weights(rows)
    return rows


def check_weights(rows: Iterable[RunOutcome]) -> None:
    """Raises BadOption if rows that started from the same model did not have the same weights.

    Rows with an unknown hash ("") are not compared.
    """
    known: dict[str, RunOutcome] = {}
    for row in rows:
        first = known.setdefault(row.model, row) if row.weights else row
        if first.weights != row.weights:
            raise BadOption(
                f"rows must start from the same weights of {row.model}; got {first.weights} in"
                f" {first.label} and {row.weights} in {row.label}. Fix: delete the rows of one of"
                " them, or keep the studies in two folders"
            )


def _to_columns(outcome: RunOutcome) -> dict[str, Any]:
    columns = asdict(replace(outcome, folder=Path(outcome.folder).name))
    results = [columns["result"], *columns["transfer"].values()]
    for tree in (columns, *filter(None, results)):
        tree["settings"] = json.dumps(tree["settings"])
    return columns


def _from_columns(columns: dict[str, Any]) -> dict[str, Any]:
    results = [columns.get("result"), *(columns.get("transfer") or {}).values()]
    for tree in (columns, *filter(None, results)):
        tree["settings"] = json.loads(tree["settings"])
    return columns


def _schema(pa: Any) -> Any:
    """The columns of a row."""
    texts, count = pa.list_(pa.string()), pa.int64()
    result = pa.struct(
        {
            "policy": pa.string(),
            "env": pa.string(),
            "source": pa.string(),
            "problem_ids": texts,
            "scores": pa.map_(pa.string(), pa.list_(pa.float64())),
            "episodes": count,
            "failures": pa.map_(pa.string(), count),
            "settings": pa.string(),
            "seconds": pa.float64(),
            "usage": pa.map_(pa.string(), pa.float64()),
            "policy_faults": count,
            "notes": texts,
        }.items()
    )
    curve = {"seconds": pa.float64(), "update": count, "success": pa.float64()}
    training = {"seconds": pa.float64(), "update": count, "stage": pa.string()}
    training |= {"reward": pa.float64(), "informative_fraction": pa.float64()}
    return pa.schema(
        {
            "folder": pa.string(),
            "method": pa.string(),
            "seed": count,
            "base": pa.string(),
            "model": pa.string(),
            "weights": pa.string(),
            "commit": pa.string(),
            "processor": pa.string(),
            "jobs": count,
            "seconds": pa.float64(),
            "updates": count,
            "tokens": count,
            "settings": pa.string(),
            "result": result,
            "transfer": pa.map_(pa.string(), result),
            "curve": pa.list_(pa.struct(curve.items())),
            "training": pa.list_(pa.struct(training.items())),
            "warnings": texts,
        }.items()
    )
