"""Problems written one after the other: JSON lines, Parquet, a folder with a card, or ATIF.

    with open_writer("out.jsonl") as writer:
        for problem in problems:
            writer.add(problem)

The output appears under its name when the block ends, and not at all if it ends with an error.
Existing output is replaced only with ``force``.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from srl_env.data.files.json_lines import json_line, json_text
from srl_env.data.forms.atif import atif_rows
from srl_env.data.rows import PROBLEM_KEYS, STEP_KEYS, row_from_problem
from srl_env.errors import BadData, BadOption, MissingExtra
from srl_env.problem import Problem
from srl_env.text.unicode import all_utf8_safe

Kind = Literal["jsonl", "parquet", "folder", "atif"]
CARD, DATA = "README.md", "data"
ROWS_AT_ONCE = 8192
CHARACTERS_AT_ONCE = 1 << 24
_ENDINGS: Mapping[str, Kind] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
_NOT_WRITTEN = re.compile(
    r"\.(csv|tsv|txt|json|traj|yaml|yml|toml|xml|md|html|arrow|db|sqlite|xlsx|pkl|pickle|npz"
    r"|gz|zip|zst|xz|bz2|tar)"
)


class Writer(ABC):
    """Takes problems, one after the other.

    counts: {split: number of problems written so far}.
    """

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def add(self, problem: Problem, split: str = "train") -> None:
        """Writes a problem. Raises ``BadData`` for metadata that JSON cannot express."""
        self.write(problem, split)
        self.counts[split] = self.counts.get(split, 0) + 1

    @abstractmethod
    def write(self, problem: Problem, split: str) -> None:
        """Writes a problem after the others of its split."""

    @abstractmethod
    def flush(self) -> None:
        """Writes everything that is still in memory."""

    @abstractmethod
    def close(self) -> None:
        """Closes the files; a second call does nothing."""


def kind_of(path: Path) -> Kind:
    """The kind of output, by the ending of the path: ".jsonl", ".atif.jsonl" (trajectories in the
    agent trajectory interchange format), ".parquet", or else a folder.

    Raises ``BadOption`` for the ending of a file that cannot be written here, as ".csv".
    """
    ending = path.suffix.lower()
    if path.name.lower().endswith(".atif.jsonl"):
        return "atif"
    if _NOT_WRITTEN.fullmatch(ending) and not path.is_dir():
        raise BadOption(
            f"the output must be FILE.jsonl, FILE.parquet or a folder; got {path}. Fix: for a"
            f" folder with Parquet files and a card, a name without {ending}"
        )
    return _ENDINGS.get(ending, "folder")


@contextmanager
def open_writer(
    path: str | os.PathLike[str],
    *,
    card: Callable[[Mapping[str, int]], str] | None = None,
    force: bool = False,
) -> Iterator[Writer]:
    """A writer to a file, which does not keep splits apart, or to a folder; see ``kind_of``.

    ``datasets.load_dataset(path)`` reads the folder: it has ``data/SPLIT.parquet``. card: makes its
    README.md, from the number of problems in each split. force: replaces an existing file, or a
    folder that was written here.
    Raises ``BadOption`` for existing output, ``BadData`` if it cannot be written, and
    ``MissingExtra`` for Parquet without the extra "data".
    """
    path = Path(path)
    kind = kind_of(path)
    check_free(path, kind, force)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        writer = _WRITERS[kind](partial)
        try:
            yield writer
            writer.flush()
            writer.close()
        finally:
            with suppress(OSError):  # after an error nothing of it is kept
                writer.close()
        if kind == "folder" and card is not None:
            (partial / CARD).write_text(card(writer.counts), encoding="utf-8")
        _put(partial, path)
    except OSError as error:
        raise BadData(f"{path}: {error.strerror or error}; nothing was written") from error
    finally:
        _remove(partial)


def check_free(path: Path, kind: Kind, force: bool = False) -> None:
    """Raises ``BadOption`` if writing there would destroy something that must stay."""
    if not path.exists() and not path.is_symlink():
        return
    if path.is_dir() != (kind == "folder"):
        found = "folder" if path.is_dir() else "file"
        raise BadOption(f"{path} is a {found}; a {kind} cannot take its place, choose another")
    if path.is_dir() and (strange := _strange(path)):
        raise BadOption(f"{path} has {strange!r} in it, which was not written here; choose another")
    if not force and not (path.is_dir() and not any(path.iterdir())):
        raise BadOption(f"{path} exists; choose another, or replace it (--force)")


def _strange(folder: Path) -> str | None:
    """A file in a folder that no writer puts there."""
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        ours = name in (CARD, DATA) or (path.parent.name == DATA and path.suffix == ".parquet")
        if not ours:
            return name
    return None


def _put(partial: Path, path: Path) -> None:
    """Gives complete output its name; an old folder is removed only after that."""
    if not path.is_dir():
        partial.replace(path)
        return
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    path.rename(old)
    try:
        partial.rename(path)
    except OSError:
        old.rename(path)
        raise
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


class _Jsonl(Writer):
    """Canonical rows, as ``JsonlSource`` reads them."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = path.open("wb")

    def write(self, problem: Problem, split: str) -> None:
        self._file.write(json_line(problem))

    def flush(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


class _Atif(_Jsonl):
    """A trajectory of an agent in each line; problems without one are not in it."""

    def write(self, problem: Problem, split: str) -> None:
        for row in atif_rows(problem):
            self._file.write(json.dumps(row).encode() + b"\n")


class _Parquet(Writer):
    """The same rows as a table; metadata are JSON text, because a column has one type.

    Lone surrogates, which a table cannot hold, become U+FFFD.
    """

    def __init__(self, path: Path) -> None:
        try:
            from pyarrow.parquet import ParquetWriter
        except ImportError as error:
            raise MissingExtra("pyarrow", "data") from error
        super().__init__()
        self._rows: list[dict[str, Any]] = []
        self._characters = 0
        self._schema = _schema()
        self._table = ParquetWriter(path, self._schema)

    def write(self, problem: Problem, split: str) -> None:
        row, characters = _table_row(problem)
        self._rows.append(row)
        self._characters += characters
        if len(self._rows) == ROWS_AT_ONCE or self._characters > CHARACTERS_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        from pyarrow import RecordBatch

        self._table.write_batch(RecordBatch.from_pylist(self._rows, schema=self._schema))
        self._rows.clear()
        self._characters = 0

    def close(self) -> None:
        self._table.close()


class _Folder(Writer):
    """One Parquet file for each split."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._data = path / DATA
        self._data.mkdir(parents=True)
        self._splits: dict[str, _Parquet] = {}

    def write(self, problem: Problem, split: str) -> None:
        if split not in self._splits:
            self._splits[split] = _Parquet(self._data / f"{split}.parquet")
        self._splits[split].write(problem, split)

    def flush(self) -> None:
        for table in self._splits.values():
            table.flush()

    def close(self) -> None:
        for table in self._splits.values():
            table.close()


_WRITERS: Mapping[Kind, Callable[[Path], Writer]] = {
    "jsonl": _Jsonl,
    "atif": _Atif,
    "parquet": _Parquet,
    "folder": _Folder,
}


def _schema() -> Any:
    import pyarrow as pa

    text = pa.string()
    steps = pa.list_(pa.struct([(name, text) for name in STEP_KEYS]))
    trajectories = pa.list_(pa.struct([("steps", steps), ("source", text)]))
    kinds = {"steps": steps, "trajectories": trajectories}
    return pa.schema([(name, kinds.get(name, text)) for name in PROBLEM_KEYS])


def _table_row(problem: Problem) -> tuple[dict[str, Any], int]:
    """A row of the table, and about how many characters it has."""
    row = row_from_problem(problem)
    for solution in (row, *row.get("trajectories", [])):
        if "steps" in solution:
            solution["steps"] = [
                {"action": step} if isinstance(step, str) else step for step in solution["steps"]
            ]
    if "metadata" in row:
        row["metadata"] = json_text(problem, row["metadata"])
    text = json_text(problem, row)
    return row if text.isascii() else all_utf8_safe(row), len(text)
