"""Problems in JSON-lines files: one JSON object per line, UTF-8.

Line ends may be Windows', a byte-order mark and blank lines are passed over. Only where each
line begins is kept in memory.
"""

from __future__ import annotations

import errno
import os
import weakref
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from srl_env.data.files.json_lines import json_line, object_in
from srl_env.data.files.kinds import BOM, START, no_json_lines
from srl_env.data.rows import BadRow, Converter, Row, problem_from_row
from srl_env.data.sources.source import OnBadRow, RowSource, SplitBy, by_id
from srl_env.data.splits import SHARES
from srl_env.errors import BadData, BadOption
from srl_env.problem import Problem


class JsonlSource(RowSource):
    """The problems of a JSON-lines file, read when asked for.

    path: the file; it must stay as it is while the source is in use. convert: what its rows
    are, by default canonical ones (``srl_env.data.rows``). name: by default the file's name
    without suffix. The rest as for ``RowSource``.
    Pickles to the path and the places of the lines.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        convert: Converter = problem_from_row,
        *,
        name: str | None = None,
        split: str | None = None,
        shares: Mapping[str, float] = SHARES,
        split_by: SplitBy = by_id,
        on_bad_row: OnBadRow = "raise",
    ) -> None:
        self.path = file_path(path)
        self._file: _File | None = None
        self._version: tuple[int, int] | None = None
        super().__init__(
            self.path.stem if name is None else name,
            convert,
            split=split,
            shares=shares,
            split_by=split_by,
            on_bad_row=on_bad_row,
        )

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_file": None}

    def _locate(self) -> array[int]:
        """Where each line that is not blank begins."""
        self._blank, self._offsets = array("q"), array("q")
        with self._open().reader() as file:
            if advice := no_json_lines(self.path, file.read(START)):
                raise BadData(f"{self.path}: {advice}")
            file.seek(0)
            offset = len(BOM) if file.read(len(BOM)) == BOM else 0
            file.seek(offset)
            for line in file:
                (self._blank if line.isspace() else self._offsets).append(offset)
                offset += len(line)
        return self._offsets

    def _row(self, key: int) -> Row:
        return object_in(self._open().line_at(key))

    def _place(self, key: int) -> str:
        before = bisect_left(self._offsets, key) + bisect_left(self._blank, key)
        return f"{self.path}:{before + 1}"

    def _open(self) -> _File:
        if self._file is None:
            self._file = _File(self.path)
            self._version = self._version or self._file.version
        if self._file.version != self._version:
            raise BadRow("the file was changed since it was opened", "open it again")
        return self._file


def file_path(path: object) -> Path:
    """The path that was given; ``BadOption`` for what is none."""
    if isinstance(path, str | os.PathLike) and isinstance(os.fspath(path), str):
        return Path(path)
    raise BadOption(
        f"path is that of a file, as 'problems.jsonl'; got {type(path).__name__} {path!r:.60}"
    )


class _File:
    """A file open for reading by any number of threads; closed when nobody uses it any more."""

    def __init__(self, path: Path) -> None:
        try:
            self.number = os.open(path, os.O_RDONLY)
            weakref.finalize(self, os.close, self.number)
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, "it is a folder")
        except OSError as error:
            raise BadData(f"{path}: {error.strerror}; expected a file of JSON lines") from error

    @property
    def version(self) -> tuple[int, int]:
        """What changes when the file does: its size, and when it was written, in ns."""
        status = os.fstat(self.number)
        return status.st_size, status.st_mtime_ns

    def reader(self) -> BinaryIO:
        """The file from its beginning; closing it leaves this open."""
        os.lseek(self.number, 0, os.SEEK_SET)
        return open(self.number, "rb", closefd=False)

    def line_at(self, offset: int) -> bytes:
        """The rest of the line there, its end included."""
        line, size = b"", 4096
        while b"\n" not in line and (more := os.pread(self.number, size, offset + len(line))):
            line += more
            size *= 2
        return line[: line.find(b"\n") + 1] or line


def write_jsonl(path: str | os.PathLike[str], problems: Iterable[Problem]) -> int:
    """Writes problems as canonical rows, which ``JsonlSource`` reads; returns how many.

    The file appears when all are written, or not at all. Raises ``BadData`` for metadata that
    is no JSON, and ``BadOption`` where nothing can be written, e.g. on a full disk.
    """
    path = Path(path)
    try:
        return _write(path, map(json_line, problems))
    except OSError as error:
        raise BadOption(
            f"{path} cannot be written: {error.strerror or error}; choose another place, or make "
            "room there"
        ) from error


def _write(path: Path, lines: Iterable[bytes]) -> int:
    count = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with partial.open("wb") as file:
            for line in lines:
                file.write(line)
                count += 1
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return count
