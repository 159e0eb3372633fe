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

    path: what ``RowStream`` reads. In a folder with a file for each split, as ``srl-env data
    convert`` writes it, a split is its file; elsewhere it goes by the hash of the ids. The rest as
    for ``RowSource``. JSON lines are better read by ``JsonlSource``, which keeps no row.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        convert: Converter,
        *,
        split: str | None = None,
        **options: Any,
    ) -> None:
        self._stream = RowStream([path])
        own = self._own_files(split)
        self._files = range(len(self._stream.files)) if own is None else own
        name = str(options.pop("name", None) or Path(path).stem)
        super().__init__(
            name if own is None or split is None else f"{name}/{split}",
            convert,
            split=split if own is None else None,
            **options,
        )

    def _own_files(self, split: str | None) -> list[int] | None:
        """The numbers of the split's files; None where the files are not splits."""
        of = [self._stream.split(number) for number in range(len(self._stream.files))]
        if split is None or len(of) < 2 or None in of:
            return None
        return [number for number, name in enumerate(of) if name in _SPLITS.get(split, (split,))]

    def _locate(self) -> array[int]:
        self._rows: list[FileRow] = [row for row in self._stream if row.file in self._files]
        return array("q", range(len(self._rows)))

    def _row(self, key: int) -> Row:
        row = self._rows[key].row
        if isinstance(row, BadRow):
            raise row
        return row

    def _place(self, key: int) -> str:
        return self._stream.place(self._rows[key].file, self._rows[key].number)
