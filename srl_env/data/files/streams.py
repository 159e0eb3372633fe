"""Rows of data files, one after the other.

These files are read:

- JSON lines
- JSON with one object, a list of them, or such a list under a key
- SWE-agent's ``.traj`` files
- CSV and TSV
- XLSX, Parquet, and folders that ``datasets`` saved (these three need the extra "data")
- folders with any of these

A ``RowSource`` reaches any row at any time and keeps a number for each. A stream keeps nothing
and is read once from beginning to end. Only the text of a JSON document is in memory as a whole.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from srl_env.data.files.json_lines import no_object, object_in
from srl_env.data.files.kinds import BOM, LIST_UNDER_KEY, FileKind, kind_of_file
from srl_env.data.files.spreadsheets import csv_rows, xlsx_rows
from srl_env.data.rows import BadRow, Row
from srl_env.errors import BadData, MissingExtra

_SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".xlsx", ".parquet", ".arrow")
_SPLITS = ("train", "dev", "val", "valid", "validation", "test", "eval")
_SPLIT = re.compile(rf"(?:^|[-_.])({'|'.join(_SPLITS)})(?:[-_.]|$)")
_METADATA = {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"}
_ROWS_AT_ONCE = 256


class FileRow(NamedTuple):
    """A row and its place.

    file: the index of the file in ``RowStream.files``. number: the line it begins at, from 1, or
    the number of the row in a file without lines. row: ``BadRow`` if it could not be read.
    """

    file: int
    number: int
    row: Row | BadRow


Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
"""A file or folder, or several."""


class RowStream:
    """The rows of files and folders, in order.

    files: the files that are read. bytes_total, bytes_done: their size, and how much of it was
    read so far, for a progress bar.
    """

    def __init__(self, paths: Paths) -> None:
        """Raises ``BadData`` for a path without data."""
        listed = [paths] if isinstance(paths, str | os.PathLike) else paths
        self.files = [file for path in listed for file in _files_of(Path(path))]
        self._sizes = [file.stat().st_size for file in self.files]
        self.bytes_total, self.bytes_done = sum(self._sizes), 0

    def __iter__(self) -> Iterator[FileRow]:
        before = 0
        for index, file in enumerate(self.files):

            def note(done: int, before: int = before) -> None:
                self.bytes_done = before + done

            for number, row in _READERS[kind_of_file(file)](file, note):
                yield FileRow(index, number, row)
            before += self._sizes[index]
            self.bytes_done = before

    def place(self, file: int, number: int) -> str:
        """Where a row stands, for people: "train.jsonl:41" or "train.parquet, row 40"."""
        path = self.files[file]
        has_rows = path.suffix.lower() in (".xlsx", ".parquet", ".arrow")
        return f"{path}, row {number}" if has_rows else f"{path}:{number}"

    def split(self, file: int) -> str | None:
        """The split that a file is, by its name or its folder's; None if neither names one."""
        path = self.files[file]
        if path.parent.name in _SPLITS:
            return path.parent.name
        found = _SPLIT.search(path.stem)
        return found[1] if found else None


def _files_of(path: Path) -> list[Path]:
    """The file itself, or the files in a folder: trajectories if there are any, else tables."""
    if path.is_file():
        return [path]
    if not path.exists():
        raise BadData(f"{path}: there is no such file or folder")
    found = [p for p in sorted(path.rglob("*")) if p.is_file() and not _is_hidden(p, path)]
    trajectories = [p for p in found if p.suffix == ".traj"]
    harbor = [p for p in found if p.name == "trajectory.json" or p.match("*.trajectory.json")]
    tables = [p for p in found if p.suffix in _SUFFIXES and p.name not in _METADATA]
    chosen = trajectories or harbor or tables
    if not chosen:
        raise BadData(
            f"{path}: no data in this folder; expected files ending in "
            f"{', '.join(_SUFFIXES)} or .traj"
        )
    return chosen


def _is_hidden(path: Path, below: Path) -> bool:
    parts = path.relative_to(below).parts
    return any(part.startswith(".") or part == "__pycache__" for part in parts)


# -- readers: (number, row) for each row of a file -------------------------------------------

_Note = Callable[[int], None]
_Rows = Iterator[tuple[int, Row | BadRow]]


def _json_lines(path: Path, note: _Note) -> _Rows:
    with path.open("rb") as file:
        done = len(BOM) if file.read(len(BOM)) == BOM else 0
        file.seek(done)
        for number, line in enumerate(file, 1):
            done += len(line)
            note(done)
            if not line.isspace():
                yield number, _object(line)


def _json(path: Path, note: _Note) -> _Rows:
    """The objects of a JSON list, also of one under a key, or the one object."""
    data = path.read_bytes().removeprefix(BOM)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise BadData(f"{path}: no UTF-8 at byte {error.start + 1}; save it as UTF-8") from error
    found = LIST_UNDER_KEY.match(text) if path.suffix.lower() == ".json" else None
    if found or text.lstrip()[:1] == "[":
        yield from _items(path, text, text.index("[", found.end() if found else 0), note)
        return
    row = _object(data)
    if isinstance(row, dict) and path.suffix == ".traj":
        row = {"instance_id": path.stem} | row
    yield 1, row


def _items(path: Path, text: str, begin: int, note: _Note) -> _Rows:
    """The objects of the list that begins there, each with its line."""
    line, counted, place = 1, 0, _skip(text, begin + 1)
    while text[place : place + 1] != "]":
        line, counted = line + text.count("\n", counted, place), place
        try:
            value, end = _DECODER.raw_decode(text, place)
        except (ValueError, RecursionError) as error:
            raise BadData(f"{path}:{line}: no JSON; {error}") from error
        note(end)
        yield line, value if isinstance(value, dict) else no_object(value)
        place = _skip(text, end)
        if text[place : place + 1] == ",":
            place = _skip(text, place + 1)
        elif text[place : place + 1] != "]":
            found = text[place : place + 1]
            raise BadData(f"{path}:{line}: expected ',' or ']' after this row; got {found!r}")


def _skip(text: str, place: int) -> int:
    """The next place without white space."""
    found = _SPACE.match(text, place)
    return found.end() if found else place


def _object(data: bytes) -> Row | BadRow:
    try:
        return object_in(data)
    except BadRow as error:
        return error


_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[\s\ufeff]*")


def _parquet(path: Path, note: _Note) -> _Rows:
    try:
        from pyarrow import ArrowInvalid
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise MissingExtra("pyarrow", "data") from error
    try:
        table = ParquetFile(path)
    except (ArrowInvalid, OSError) as error:
        raise BadData(f"{path}: no Parquet file that can be read; {error}") from error
    with table:
        count, size = max(table.metadata.num_rows, 1), path.stat().st_size
        batches = table.iter_batches(_ROWS_AT_ONCE)
        yield from _numbered(batches, lambda done: note(size * done // count))


def _arrow(path: Path, note: _Note) -> _Rows:
    """A file of a folder that ``datasets`` saved."""
    try:
        from pyarrow import ArrowInvalid, ipc, memory_map
    except ImportError as error:
        raise MissingExtra("pyarrow", "data") from error
    try:
        with memory_map(str(path)) as file, ipc.open_stream(file) as batches:
            slices = (
                batch.slice(begin, _ROWS_AT_ONCE)
                for batch in batches
                for begin in range(0, batch.num_rows, _ROWS_AT_ONCE)
            )
            yield from _numbered(slices, lambda _: note(file.tell()))
    except ArrowInvalid as error:
        raise BadData(f"{path}: no Arrow file that can be read; {error}") from error


def _numbered(batches: Iterator[Any], note: _Note) -> _Rows:
    number = 0
    for batch in batches:
        for row in batch.to_pylist():
            yield number, row
            number += 1
        note(number)


_READERS: Mapping[FileKind, Callable[[Path, _Note], _Rows]] = {
    "JSON lines": _json_lines,
    "JSON": _json,
    "CSV": csv_rows,
    "XLSX": xlsx_rows,
    "Parquet": _parquet,
    "Arrow": _arrow,
}
