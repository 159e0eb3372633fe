"""Problems written one after the other: JSON lines, Parquet, or a folder with a card.

    with open_writer("out.jsonl") as writer:
        for problem in problems:
            writer.add(problem)

What is written appears under its name when the block ends, whole, and not at all where it ends
with an error. Nothing that exists is replaced, unless ``force`` says so.
"""

from __future__ import annotations

import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, get_args

from srl_env.data.files.json_lines import json_line, json_text
from srl_env.data.rows import row_from_problem
from srl_env.errors import BadData, BadOption, MissingExtra, UnknownName
from srl_env.problem import Problem
from srl_env.text.unicode import all_utf8_safe

Kind = Literal["jsonl", "parquet", "folder"]
CARD, DATA = "README.md", "data"
ROWS_AT_ONCE = 8192
CHARACTERS_AT_ONCE = 1 << 24
_STEP = ("action", "title", "thought", "observation")
_ENDINGS: Mapping[str, Kind] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
_NOT_WRITTEN = {".csv", ".tsv", ".txt", ".json", ".traj", ".yaml", ".yml", ".toml", ".xml", ".md"}
_NOT_WRITTEN |= {".arrow", ".db", ".sqlite", ".xlsx", ".pkl", ".pickle", ".npz", ".html"}
_NOT_WRITTEN |= {".gz", ".zip", ".zst", ".xz", ".bz2", ".tar"}


class Writer(ABC):
    """Takes problems, one after the other.

    counts: how many of each split were written so far.
    """

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def add(self, problem: Problem, split: str = "train") -> None:
        """Writes a problem. Raises ``BadData`` for metadata that is no JSON."""
        self.write(problem, split)
        self.counts[split] = self.counts.get(split, 0) + 1

    @abstractmethod
    def write(self, problem: Problem, split: str) -> None:
        """Writes a problem behind the others of its split."""

    @abstractmethod
    def finish(self) -> None:
        """Writes what is left, and closes."""

    @abstractmethod
    def abandon(self) -> None:
        """Closes, whatever was written."""


def kind_of(path: Path) -> Kind:
    """What a path is to become, by its ending: ".jsonl", ".parquet", or else a folder.

    Raises ``BadOption`` for the ending of a file that is not written here, as ".csv".
    """
    ending = path.suffix.lower()
    if ending in _NOT_WRITTEN and not path.is_dir():
        raise BadOption(
            f"{path}: no {ending} file is written; give FILE.jsonl, FILE.parquet, or the name of a "
            "folder, which gets Parquet files and a card"
        )
    return _ENDINGS.get(ending, "folder")


@contextmanager
def open_writer(
    path: str | os.PathLike[str],
    kind: Kind | None = None,
    *,
    card: Callable[[Mapping[str, int]], str] | None = None,
    force: bool = False,
) -> Iterator[Writer]:
    """A writer to a file, in which splits are not told apart, or to a folder.

    kind: by default what the path's ending says. card: makes the README.md of a folder from the
    number of problems in each split; a folder has ``data/SPLIT.parquet`` beside it, which
    ``datasets.load_dataset(path)`` reads. force: an existing file, or a folder that was written
    here, is replaced.
    Raises ``BadOption`` for what exists, ``BadData`` where it cannot be written, and
    ``MissingExtra`` for Parquet without the extra "data".
    """
    path = Path(path)
    kind = kind or kind_of(path)
    if kind not in get_args(Kind):
        raise UnknownName("kind of output", kind, get_args(Kind))
    check_free(path, kind, force)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        writer = _WRITERS[kind](partial)
        try:
            yield writer
            writer.finish()
        except BaseException:
            writer.abandon()
            raise
        if isinstance(writer, _Folder) and card is not None:
            (partial / CARD).write_text(card(writer.counts), encoding="utf-8")
        _put(partial, path)
    except OSError as error:
        raise BadData(f"{path}: {error.strerror or error}; nothing was written") from error
    finally:
        _remove(partial)


def check_free(path: Path, kind: Kind, force: bool = False) -> None:
    """Raises ``BadOption`` where writing there would destroy what must stay."""
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
    """Something in a folder that no writer of ours puts there."""
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        ours = name in (CARD, DATA) or (path.parent.name == DATA and path.suffix == ".parquet")
        if not ours:
            return name
    return None


def _put(partial: Path, path: Path) -> None:
    """Gives what is finished its name; an old folder is only gone when the new one is there."""
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

    def finish(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def abandon(self) -> None:
        with suppress(OSError):  # what it could not write is not wanted
            self._file.close()


class _Parquet(Writer):
    """The same rows as a table; metadata as JSON text, as a column has one type.

    Lone surrogates, which no table can hold, become U+FFFD.
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
            self._flush()

    def finish(self) -> None:
        self._flush()
        self._table.close()

    def abandon(self) -> None:
        with suppress(OSError):
            self._table.close()

    def _flush(self) -> None:
        from pyarrow import RecordBatch

        self._table.write_batch(RecordBatch.from_pylist(self._rows, schema=self._schema))
        self._rows.clear()
        self._characters = 0


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

    def finish(self) -> None:
        for split in self._splits.values():
            split.finish()

    def abandon(self) -> None:
        for split in self._splits.values():
            split.abandon()


_WRITERS: Mapping[Kind, Callable[[Path], Writer]] = {
    "jsonl": _Jsonl,
    "parquet": _Parquet,
    "folder": _Folder,
}


def _schema() -> Any:
    import pyarrow as pa

    text = pa.string()
    steps = pa.list_(pa.struct([(name, text) for name in _STEP]))
    trajectories = pa.list_(pa.struct([("steps", steps), ("source", text)]))
    kinds = {"steps": steps, "trajectories": trajectories}
    names = ("id", "prompt", "answer", "steps", "trajectories", "metadata")
    return pa.schema([(name, kinds.get(name, text)) for name in names])


def _table_row(problem: Problem) -> tuple[dict[str, Any], int]:
    """A row of the table, and about how many characters it has."""
    row = row_from_problem(problem)
    if "steps" in row:
        row["steps"] = [_table_step(step) for step in row["steps"]]
    for trajectory in row.get("trajectories", []):
        trajectory["steps"] = [_table_step(step) for step in trajectory["steps"]]
    if "metadata" in row:
        row["metadata"] = json_text(problem, row["metadata"])
    text = json_text(problem, row)
    if not text.isascii():
        row = all_utf8_safe(row)
    return row, len(text)


def _table_step(step: str | dict[str, str]) -> dict[str, str]:
    return {"action": step} if isinstance(step, str) else step
