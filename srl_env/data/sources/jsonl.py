"""Problems in JSON-lines files: one JSON object per line, UTF-8.

Lines may end as on Windows. A byte-order mark and blank lines are skipped. Only the place where
each line begins is kept in memory.
"""

from __future__ import annotations

import os
import shlex
import weakref
from array import array
from bisect import bisect_left
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from srl_env.data.files.json_lines import json_line, object_in
from srl_env.data.files.kinds import BOM, kind_of_file
from srl_env.data.rows import BadRow, Converter, Row, problem_from_row
from srl_env.data.sources.source import RowSource
from srl_env.errors import BadData, BadOption
from srl_env.problem import Problem


class JsonlSource(RowSource):
    """The problems of a JSON-lines file, read when they are asked for. Works from any thread.

    path: the file, which must not change while the source is in use. convert: makes problems of
    its rows, by default of canonical ones (``srl_env.data.rows``). name: by default the file's
    name without suffix. options: those of ``RowSource``.
    A pickle holds the path and the places of the lines.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        convert: Converter = problem_from_row,
        *,
        name: str | None = None,
        **options: Any,
    ) -> None:
        self.path = file_path(path)
        self._descriptor: int | None = None
        self._version: tuple[int, int] | None = None
        super().__init__(self.path.stem if name is None else name, convert, **options)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_descriptor": None}

    def _locate(self) -> array[int]:
        """Where each line that is not blank begins."""
        self._blank, self._offsets = array("q"), array("q")
        with open(self._open(), "rb", closefd=False) as file:
            if (kind := kind_of_file(self.path)) != "JSON lines":
                raise BadData(
                    f"{self.path} must be JSON lines, an object on each; got {kind}. Fix: srl-env"
                    f" data convert {shlex.quote(str(self.path))} -o OUT.jsonl, and read OUT.jsonl"
                )
            offset = len(BOM) if file.read(len(BOM)) == BOM else 0
            file.seek(offset)
            for line in file:
                (self._blank if line.isspace() else self._offsets).append(offset)
                offset += len(line)
        return self._offsets

    def _row(self, key: int) -> Row:
        file, line, size = self._open(), b"", 4096
        while b"\n" not in line and (more := os.pread(file, size, key + len(line))):
            line += more
            size *= 2
        return object_in(line.partition(b"\n")[0])

    def _place(self, key: int) -> str:
        before = bisect_left(self._offsets, key) + bisect_left(self._blank, key)
        return f"{self.path}:{before + 1}"

    def _open(self) -> int:
        """The descriptor of the open file; ``BadRow`` if the file has changed."""
        if self._descriptor is None:
            if self.path.is_dir():
                raise BadData(f"{self.path} must be a file of JSON lines; got a folder")
            try:
                self._descriptor = os.open(self.path, os.O_RDONLY)
            except OSError as error:
                raise BadData(
                    f"{self.path}: {error.strerror}; expected a file of JSON lines"
                ) from error
            weakref.finalize(self, os.close, self._descriptor)
        status = os.fstat(self._descriptor)
        version = status.st_size, status.st_mtime_ns
        self._version = self._version or version
        if version != self._version:
            raise BadRow("the file was changed since it was opened", "open it again")
        return self._descriptor


def file_path(path: object) -> Path:
    """The path; ``BadOption`` for anything that is not a path."""
    if isinstance(path, str | os.PathLike) and isinstance(os.fspath(path), str):
        return Path(path)
    raise BadOption(
        f"path must be that of a file, e.g. 'problems.jsonl'; got {type(path).__name__} "
        f"{path!r:.60}"
    )


def write_jsonl(path: str | os.PathLike[str], problems: Iterable[Problem]) -> int:
    """Writes problems as canonical rows, which ``JsonlSource`` reads; returns how many.

    The file appears when all are written, or not at all. Raises ``BadData`` for metadata that
    JSON cannot express, and ``BadOption`` where nothing can be written, e.g. on a full disk.
    """
    path, count = Path(path), 0
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            for count, problem in enumerate(problems, 1):  # noqa: B007
                file.write(json_line(problem))
        partial.replace(path)
    except OSError as error:
        raise BadOption(
            f"{path} cannot be written: {error.strerror or error}. Fix: choose another place, or "
            "make room there"
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink()
    return count
