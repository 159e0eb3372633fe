"""Rows of data files, one after the other, in constant memory.

Read are JSON lines; JSON files with one object, a list of them, or such a list under a key;
SWE-agent's ``.traj`` files; CSV and TSV; XLSX, Parquet files and folders that ``datasets`` saved
(these three need the extra "data"); and folders with any of these. ``srl_env.data.forms`` says
what a row means.

A ``RowSource`` reaches any row at any time and keeps a number for each; a stream keeps nothing,
and is read once from its beginning to its end.
"""

from __future__ import annotations

import codecs
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from srl_env.data.files.json_lines import object_in
from srl_env.data.files.kinds import BOM, is_lines, unreadable
from srl_env.data.files.spreadsheets import csv_rows, xlsx_rows
from srl_env.data.rows import BadRow, Row
from srl_env.errors import BadData, MissingExtra

_SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".xlsx", ".parquet", ".arrow")
_SPLITS = ("train", "dev", "val", "valid", "validation", "test", "eval")
_SPLIT = re.compile(rf"(?:^|[-_.])({'|'.join(_SPLITS)})(?:[-_.]|$)")
# {"version": 1, "data": [{, but not our own rows or a trajectory, whose lists are parts of one row
_LIST_UNDER_KEY = re.compile(
    r"""\s*\{(?:\s*"[^"\\]*"\s*:\s*(?:"(?:[^"\\]|\\.)*"|[-\d.eE+]+|true|false|null)\s*,)*+
        \s*"(?!steps"|trajector|messages"|history")[^"\\]*"\s*:\s*\[\s*\{""",
    re.VERBOSE,
)
_CHUNK = 1 << 16
_ROWS_AT_ONCE = 256


class FileRow(NamedTuple):
    """A row and where it stands.

    file: its number in ``RowStream.files``. number: of the line it begins at, from 1, or of the
    row, in a file without lines. row: ``BadRow`` where it could not be read.
    """

    file: int
    number: int
    row: Row | BadRow


class RowStream:
    """The rows of files and folders, in order.

    files: what is read. bytes_total, bytes_done: how large the files are, and how much of that
    was read so far, for a progress bar.
    """

    def __init__(self, paths: Sequence[str | os.PathLike[str]]) -> None:
        """Raises ``BadData`` for a path where there is nothing to read."""
        self.files = [file for path in paths for file in _files_of(Path(path))]
        self._sizes = [_size(file) for file in self.files]
        self.bytes_total, self.bytes_done = sum(self._sizes), 0

    def __iter__(self) -> Iterator[FileRow]:
        before = 0
        for number, file in enumerate(self.files):

            def note(done: int, before: int = before) -> None:
                self.bytes_done = before + done

            for place, row in _reader_of(file)(file, note):
                yield FileRow(number, place, row)
            before += self._sizes[number]
            self.bytes_done = before

    def place(self, file: int, number: int) -> str:
        """Where a row stands, for people: "train.jsonl:41" or "train.parquet, row 40"."""
        path = self.files[file]
        return f"{path}, row {number}" if path.suffix.lower() in _BINARY else f"{path}:{number}"

    def split(self, file: int) -> str | None:
        """The split that a file is, by its name or its folder's; None where neither says one."""
        path = self.files[file]
        if path.parent.name in _SPLITS:
            return path.parent.name
        found = _SPLIT.search(path.stem)
        return found[1] if found else None


Note = Callable[[int], None]
_Rows = Iterator[tuple[int, Row | BadRow]]


# -- which files ------------------------------------------------------------------------------


def _files_of(path: Path) -> list[Path]:
    """The files to read at a path: itself, or what a folder has of the most telling kind."""
    if path.is_file():
        return [path]
    if not path.exists():
        raise BadData(f"{path}: there is no such file or folder")
    found = [p for p in sorted(path.rglob("*")) if p.is_file() and not _is_hidden(p, path)]
    trajectories = [p for p in found if p.suffix == ".traj"]
    harbor = [p for p in found if p.name == "trajectory.json" or p.match("*.trajectory.json")]
    tables = [p for p in found if p.suffix in _SUFFIXES and p.name not in _ABOUT]
    chosen = trajectories or harbor or tables
    if not chosen:
        raise BadData(
            f"{path}: no data in this folder; expected files ending in "
            f"{', '.join(_SUFFIXES)} or .traj"
        )
    return chosen


_ABOUT = {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"}


def _is_hidden(path: Path, below: Path) -> bool:
    parts = path.relative_to(below).parts
    return any(part.startswith(".") or part == "__pycache__" for part in parts)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise BadData(f"{path}: {error.strerror}; expected a file of data") from error


# -- readers: (number, row) for each row of a file -------------------------------------------


def _reader_of(path: Path) -> Callable[[Path, Note], _Rows]:
    if path.suffix.lower() in _BINARY:
        return _BINARY[path.suffix.lower()]
    with _opened(path) as file:
        start = file.read(_CHUNK)
    if advice := unreadable(path, start):
        raise BadData(f"{path}: {advice}")
    start = start.removeprefix(BOM)
    if path.suffix.lower() in (".csv", ".tsv") and not start.lstrip().startswith(b"{"):
        return csv_rows
    if path.suffix == ".traj":
        return _whole_file
    if path.suffix == ".json" and _LIST_UNDER_KEY.match(start.decode("utf-8", "replace")):
        return _json_list_under_key
    if start.lstrip()[:1] == b"[":
        return _json_list
    return _whole_file if path.suffix == ".json" and not is_lines(start) else _json_lines


def is_json_lines(path: Path) -> bool:
    """Whether a file is JSON lines, which ``JsonlSource`` reads row by row."""
    return path.is_file() and _reader_of(path) is _json_lines


def _json_lines(path: Path, note: Note) -> _Rows:
    with _opened(path) as file:
        done = len(BOM) if file.read(len(BOM)) == BOM else 0
        file.seek(done)
        for number, line in enumerate(file, 1):
            done += len(line)
            note(done)
            if not line.isspace():
                yield number, _object(line)


def _whole_file(path: Path, note: Note) -> _Rows:
    with _opened(path) as file:
        data = file.read().removeprefix(BOM)
    note(len(data))
    row = _object(data)
    if isinstance(row, dict) and path.suffix == ".traj":
        row = {"instance_id": path.stem} | row
    yield 1, row


def _object(data: bytes) -> Row | BadRow:
    try:
        return object_in(data)
    except BadRow as error:
        return error


def _json_list(path: Path, note: Note) -> _Rows:
    """The objects of a JSON list, of which only one at a time is in memory."""
    with _opened(path) as file:
        yield from _items(_Text(path, file, note))


def _json_list_under_key(path: Path, note: Note) -> _Rows:
    """The objects of the first list in a JSON object, whose other values are left out."""
    with _opened(path) as file:
        text = _Text(path, file, note)
        text.skip("{")
        while True:
            text.value()
            text.skip(":")
            if text.peek() == "[":
                break
            text.value()
            text.skip(",")
        yield from _items(text)


def _items(text: _Text) -> _Rows:
    """The objects of the list that comes next."""
    text.skip("[")
    while text.peek() != "]":
        line, value = text.value()
        if isinstance(value, dict):
            yield line, value
        else:
            yield line, BadRow("no JSON object", f"a row is one; got {type(value).__name__}")
        if text.peek() != "]":
            text.skip(",")


class _Text:
    """A JSON text that is read bit by bit."""

    def __init__(self, path: Path, file: BinaryIO, note: Note) -> None:
        self.path, self.file, self.note = path, file, note
        self.line, self.rest, self.done, self.undecoded = 1, "", 0, b""
        self.ended = False

    def peek(self) -> str:
        """The next character that is no white space; "" at the end."""
        while True:
            stripped = self.rest.lstrip()
            self.line += self.rest.count("\n", 0, len(self.rest) - len(stripped))
            self.rest = stripped.removeprefix("\ufeff")
            if self.rest or not self._more(_CHUNK):
                return self.rest[:1]

    def skip(self, expected: str) -> None:
        """Goes past that character."""
        found = self.peek()
        if found != expected:
            raise BadData(f"{self.path}:{self.line}: expected {expected!r}, found {found!r}")
        self.rest = self.rest[1:]

    def value(self) -> tuple[int, Any]:
        """The line at which the next value begins, and the value."""
        self.peek()
        line, size = self.line, _CHUNK
        while True:
            try:
                value, end = _DECODER.raw_decode(self.rest)
                if end < len(self.rest) or self.ended:  # or else a number may go on
                    break
            except RecursionError as error:
                raise BadData(f"{self.path}:{line}: JSON that is nested too deep") from error
            except ValueError as error:
                if self.ended:
                    raise BadData(f"{self.path}:{line}: no JSON; {error}") from error
            size *= 2  # so that a long value is tried a few times only
            self._more(size)
        self.line += self.rest.count("\n", 0, end)
        self.rest = self.rest[end:]
        return line, value

    def _more(self, size: int) -> bool:
        """Reads on; False at the end."""
        data = self.undecoded + self.file.read(size)
        self.ended = len(data) < size + len(self.undecoded)
        self.done += len(data) - len(self.undecoded)
        self.note(self.done)
        try:
            text, used = _decode(data, self.ended)
        except UnicodeDecodeError as error:
            raise BadData(f"{self.path}: no UTF-8 after line {self.line}: {error}") from error
        self.rest, self.undecoded = self.rest + text, data[used:]
        return bool(text)


def _decode(data: bytes, final: bool) -> tuple[str, int]:
    """The text in bytes whose last character may be cut off, and how many bytes that is."""
    return codecs.utf_8_decode(data, "strict", final)


_DECODER = json.JSONDecoder()


def _parquet(path: Path, note: Note) -> _Rows:
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
        count, size = table.metadata.num_rows, _size(path)
        batches = table.iter_batches(_ROWS_AT_ONCE)
        yield from _numbered(batches, lambda done: note(size * done // max(count, 1)))


def _arrow(path: Path, note: Note) -> _Rows:
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


def _numbered(batches: Iterator[Any], note: Note) -> _Rows:
    number = 0
    for batch in batches:
        for row in batch.to_pylist():
            yield number, row
            number += 1
        note(number)


_BINARY: dict[str, Callable[[Path, Note], _Rows]] = {
    ".parquet": _parquet,
    ".arrow": _arrow,
    ".xlsx": xlsx_rows,
}


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise BadData(f"{path}: {error.strerror}; expected a file of data") from error
