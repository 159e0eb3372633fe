"""Problems in any file or folder that ``RowStream`` reads, with all rows in memory."""

from __future__ import annotations

import os
from array import array
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from srl_env.data.files.streams import FileRow, RowStream
from srl_env.data.rows import BadRow, Converter, Row
from srl_env.data.sources.source import RowSource

_SPLITS: Final[Mapping[str, tuple[str, ...]]] = {
    "train": ("train",),
    "dev": ("dev", "val", "valid", "validation", "eval"),
    "test": ("test",),
}


class TableSource(RowSource):
    """The problems in a table, a JSON list or a folder, read once when it is opened.

    path: what ``RowStream`` reads. In a folder with one file per split, as ``srl-env data
    convert`` writes it, a split is its file; otherwise the hash of the ids decides. options: those
    of ``RowSource``. For JSON lines use ``JsonlSource``, which keeps no row.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        convert: Converter,
        *,
        name: str | None = None,
        split: str | None = None,
        **options: Any,
    ) -> None:
        self._stream = RowStream([path])
        files = self._files_of(split)
        rows = [row for row in self._stream if files is None or row.file in files]
        self._rows: list[FileRow] = rows
        name = name or Path(path).stem
        if files is not None:
            name, split = f"{name}/{split}", None
        super().__init__(name, convert, split=split, **options)

    def _files_of(self, split: str | None) -> list[int] | None:
        """The numbers of the split's files; None if the files are not splits."""
        names = [self._stream.split(number) for number in range(len(self._stream.files))]
        if split is None or len(names) < 2 or None in names:
            return None
        return [number for number, name in enumerate(names) if name in _SPLITS.get(split, (split,))]

    def _locate(self) -> array[int]:
        return array("q", range(len(self._rows)))

    def _row(self, key: int) -> Row:
        row = self._rows[key].row
        if isinstance(row, BadRow):
            raise row
        return row

    def _place(self, key: int) -> str:
        return self._stream.place(self._rows[key].file, self._rows[key].number)
