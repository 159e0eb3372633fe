"""Episodes in columns: a Parquet file of millions, of which one page is read at a time.

    write_columns(find_runs(Path("runs/first")), Path("first.parquet"))
    log = ColumnLog(Path("first.parquet"))
    page = log.page(3, 50, read_query(["verdict=wrong"]))

Runs write JSON lines, which a killed process leaves whole. Columns are made of them. Each episode
is one row: what lists and filters need, in small columns, and the whole episode as JSON in the
column "row". A filter reads the small columns alone, so memory does not depend on the number of
episodes, in writing or in reading.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from srl_agents.evaluation.rows import arrow
from srl_agents.view.lines import read_lines
from srl_agents.view.query import FILTERS, Query
from srl_agents.view.sources import ViewedRun
from srl_env.errors import BadData, BadOption

SUFFIX: Final = ".parquet"
FILTERED: Final = ("run", "problem", "reward", "verdict", "failure", "part")
"""The filters of ``srl_agents.view.query`` that columns know; "reward" is an episode's sum."""
_ROWS_AT_ONCE: Final = 2048


@dataclass(frozen=True, slots=True)
class Listed:
    """One episode as lists show it. number: its place in the file. reward: the sum of its steps'.
    correct: None without a verdict. failure: the type, or ""."""

    number: int
    run: str
    update: int | None
    part: str
    problem: str
    steps: int
    reward: float | None
    correct: bool | None
    failure: str


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the episodes that pass a filter. total: how many pass it, of ``count`` in all."""

    listed: tuple[Listed, ...]
    total: int
    count: int


def write_columns(runs: Sequence[ViewedRun], path: Path) -> int:
    """Writes the episodes of some runs; returns how many. The file appears when all are written.

    Raises ``BadData`` for a line that is not an episode, ``BadOption`` if there is none.
    """
    pa, parquet = arrow()
    schema = pa.schema(
        [
            ("number", pa.int64()),
            ("run", pa.string()),
            ("update", pa.int32()),
            ("part", pa.string()),
            ("problem", pa.string()),
            ("steps", pa.int32()),
            ("reward", pa.float64()),
            ("correct", pa.bool_()),
            ("failure", pa.string()),
            ("row", pa.string()),
        ]
    )
    partial, count = path.with_name(f"{path.name}.{os.getpid()}.part"), 0
    try:
        with parquet.ParquetWriter(partial, schema, compression="zstd") as writer:
            batch: list[dict[str, Any]] = []
            for columns in _columns(runs):
                batch.append({"number": count, **columns})
                count += 1
                if len(batch) == _ROWS_AT_ONCE:
                    writer.write_table(pa.Table.from_pylist(batch, schema))
                    batch = []
            writer.write_table(pa.Table.from_pylist(batch, schema))
        if not count:
            raise BadOption("columns need episodes; these runs have none")
        partial.replace(path)
    finally:
        with suppress(OSError):
            partial.unlink()
    return count


def _columns(runs: Sequence[ViewedRun]) -> Iterator[dict[str, Any]]:
    for run in runs:
        for _, path in run.rollouts:
            for number, (_, row) in enumerate(read_lines(path), 1):
                try:
                    yield {"run": run.name, **_small(row), "row": json.dumps(row)}
                except (KeyError, TypeError, ValueError) as error:
                    raise BadData(
                        f"{path}:{number}: not a rollout ({type(error).__name__}: {error}). Fix:"
                        " use a file that srl-env train or srl-env eval wrote"
                    ) from None


def _small(row: dict[str, Any]) -> dict[str, Any]:
    """The columns of an episode that lists and filters read."""
    rewards = [step["reward"] for step in row["steps"]]
    failure, verdict = row["failure"], row["verdict"]
    return {
        "update": row.get("update"),
        "part": str(row.get("stage", row.get("kind", ""))),
        "problem": str(row["problem_id"]),
        "steps": len(rewards),
        "reward": None if failure or None in rewards else float(sum(rewards)),
        "correct": None if verdict is None else bool(verdict["correct"]),
        "failure": "" if failure is None else str(failure["type"]),
    }


class ColumnLog:
    """A file that ``write_columns`` wrote."""

    def __init__(self, path: Path) -> None:
        """Raises ``BadData`` for any other file."""
        pa, parquet = arrow()
        try:
            self._file = parquet.ParquetFile(path)
        except (OSError, pa.ArrowException) as error:
            reason = str(error).splitlines()[0]
            raise BadData(f"{path} must be a Parquet file of episodes; {reason:.200}") from None
        if missing := {*Listed.__slots__, "row"} - {*self._file.schema_arrow.names}:
            raise BadData(
                f"{path} must be written by srl-env view --columns; it has no column"
                f" {', '.join(sorted(missing))}"
            )
        self.path, self.count = path, int(self._file.metadata.num_rows)

    def page(self, number: int, size: int, query: Query) -> Page:
        """The page of that number, from 1, of the episodes that pass the filters.

        Raises ``BadOption`` for a filter that columns do not know, and for a page after the last.
        """
        for name in query:
            if name not in FILTERED:
                raise BadOption(
                    f"a filter of columns must be one of {', '.join(FILTERED)}; got {name!r}"
                    f" ({FILTERS[name]}). Fix: leave it out, or view the run's folder"
                )
        first, total, shown = (number - 1) * size, 0, list[Listed]()
        for group in range(self._file.num_row_groups):
            rows, passing = self._passing(group, query)
            begin, end = max(0, first - total), max(0, first + size - total)
            if begin < passing and end:
                shown += self._listed(group, rows, begin, min(end, passing))
            total += passing
        if not shown and number > 1:
            pages = max(1, -(-total // size))
            raise BadOption(f"page must be at most {pages}; got {number}")
        return Page(tuple(shown), total, self.count)

    def episode(self, number: int) -> dict[str, Any]:
        """The whole episode of that number; ``BadOption`` if there is none."""
        if not 0 <= number < self.count:
            raise BadOption(f"an episode must be below {self.count:,}; got {number:,}")
        group, sizes = 0, self._file.metadata
        while number >= sizes.row_group(group).num_rows:
            number -= sizes.row_group(group).num_rows
            group += 1
        text = self._file.read_row_group(group, columns=["row"])["row"][number].as_py()
        return dict(json.loads(text))

    def _passing(self, group: int, query: Query) -> tuple[Any, int]:
        """Which rows of a group pass, as a mask, and how many; None for all."""
        size = int(self._file.metadata.row_group(group).num_rows)
        if not query:
            return None, size
        import pyarrow.compute as pc

        names = [_COLUMN.get(name, name) for name in query]
        table = self._file.read_row_group(group, columns=names)
        masks = [
            _mask(pc, name, value, table[_COLUMN.get(name, name)]) for name, value in query.items()
        ]
        mask = masks[0]
        for other in masks[1:]:
            mask = pc.and_(mask, other)
        return mask, pc.sum(mask).as_py() or 0

    def _listed(self, group: int, mask: Any, begin: int, end: int) -> list[Listed]:
        names = list(Listed.__slots__)
        table = self._file.read_row_group(group, columns=names)
        some = (table if mask is None else table.filter(mask)).slice(begin, end - begin)
        columns = (some[name].to_pylist() for name in names)
        return [Listed(*values) for values in zip(*columns, strict=True)]


_COLUMN: Final = {"verdict": "correct"}


def _mask(pc: Any, name: str, value: Any, column: Any) -> Any:
    """Which values of a column pass a filter."""
    if name in ("run", "problem"):
        return pc.match_substring(column, value, ignore_case=True)
    if name == "reward":
        low, high = value
        inside = pc.and_(pc.greater_equal(column, low), pc.less_equal(column, high))
        return pc.fill_null(inside, False)
    if value is None:
        return pc.is_null(column)
    if name == "failure" and value in ("any", "none"):
        return (pc.equal if value == "none" else pc.not_equal)(column, "")
    return pc.fill_null(pc.equal(column, value), False)
