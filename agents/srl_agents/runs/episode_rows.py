"""Episodes on disk by number: JSON lines while a part of the log is filled, then Parquet.

    rows = EpisodeRows(Path("runs/first/rollouts"))
    rows.add({0: episode.to_json()})
    for number, row in rows.read(): ...

A log is a folder. Part k holds the episodes ``k * PART`` up to the next part, in ``00000k.jsonl``
until it is full. Then it becomes ``00000k.parquet``, in order: small columns, which lists, filters
and ratings read alone, and the whole row as JSON in the column "row". So a small log is text, a
large one is read by column and by page, and memory does not depend on the number of episodes.

Rows are on disk when ``add`` returns. The unfinished line of a killed process is removed, and a
part that it was turning into Parquet is still there as text.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from srl_env.errors import BadData
from srl_env.lazy import optional_import

Row = dict[str, Any]

ROLLOUTS: Final = "rollouts"
"""The log of a training run."""
PART = 4096
"""Episodes of one part."""
COLUMNS: Final = (
    *("number", "update", "part", "group", "problem", "start_step"),
    *("steps", "reward", "correct", "failure"),
)
"""The small columns. part: the stage or the kind. reward: the sum of the steps', None after a
failure. correct: None without a verdict. failure: its type, or ""."""
_ROW_GROUP_BYTES: Final = 4 << 20  # of text
_TEXT, _SEALED = ".jsonl", ".parquet"


class EpisodeRows:
    """The rows of a log. ``count``: how many episodes it has. For one thread at a time."""

    def __init__(self, path: Path, *, repair: bool = True) -> None:
        """Opens the log in a folder, which ``add`` makes; or one file of a log, to read.

        repair: removes what a killed process left: a last line without an end, and a part's other
        form. Raises BadData for a complete line that is not an episode.
        """
        self.path, self._folder = path, not path.is_file()
        self._places: dict[int, dict[int, int]] = {}  # {part of text: {number: offset of its row}}
        self._files = _files(path)
        for part, file in self._files.items():
            if file.suffix == _TEXT:
                self._places[part] = _scan(file, repair)
        sealed = (part for part in self._files if part not in self._places)
        self._full = {part: _rows_in(self._files[part]) for part in sealed}
        self.count = sum(map(len, self._places.values())) + sum(self._full.values())
        if repair and self._folder:
            self._repair()

    def __contains__(self, number: int) -> bool:
        part = self._part(number)
        return part in self._full or number in self._places.get(part, ())

    def has(self, numbers: range) -> NDArray[np.bool_]:
        """For each number whether the log has the episode."""
        found = np.zeros(len(numbers), bool)
        for part in self._full:
            begin = part * PART - numbers.start
            found[max(0, begin) : max(0, begin + PART)] = True
        for number in (number for places in self._places.values() for number in places):
            if number in numbers:
                found[number - numbers.start] = True
        return found

    def is_full(self, number: int) -> bool:
        """Whether the part that an episode is in is full."""
        return self._part(number) in self._full

    def add(self, rows: Mapping[int, Row]) -> None:
        """Appends rows by number; a row of an earlier one's number takes its place.

        Raises MissingExtra if a part becomes full and pyarrow is not installed.
        """
        for part, members in groupby(sorted(rows), lambda number: number // PART):
            if part in self._full:
                self._unseal(part)
            path = self._files.setdefault(part, self.path / f"{part:06d}{_TEXT}")
            path.parent.mkdir(parents=True, exist_ok=True)
            places = self._places.setdefault(part, {})
            with path.open("ab") as file:
                for number in members:
                    self.count += number not in places
                    places[number] = file.tell()
                    file.write(_line(number, rows[number]))
            if len(places) == PART:
                self._seal(part)

    def drop(self, numbers: Iterable[int]) -> None:
        """Forgets some episodes, until the log is opened again or they are added again."""
        for part, members in groupby(numbers, self._part):
            if part in self._full:
                self._unseal(part)
            for number in members:
                del self._places[part][number]
                self.count -= 1

    def read(self, numbers: Iterable[int] | None = None) -> Iterator[tuple[int, Row]]:
        """The rows of these numbers, ascending, or of all, as far as they are there."""
        for number, text in self.texts(numbers):
            yield number, self._parsed(number, text)

    def texts(self, numbers: Iterable[int] | None = None) -> Iterator[tuple[int, bytes]]:
        """As ``read``, as JSON text."""
        if numbers is None:
            wanted: Iterable[tuple[int, Sequence[int] | None]] = (
                (part, None) for part in sorted(self._files)
            )
        else:
            wanted = ((part, list(each)) for part, each in groupby(numbers, self._part))
        for part, members in wanted:
            if part in self._full:
                yield from _sealed_texts(self._files[part], members)
            elif part in self._files:
                yield from self._lines(part, members)

    def columns(self, *names: str) -> Iterator[tuple[list[Any], ...]]:
        """Small columns by name, of some hundreds or thousands of episodes at a time, in order."""
        for part, path in sorted(self._files.items()):
            if part in self._full:
                for batch in _opened(path).iter_batches(columns=list(names)):
                    yield tuple(batch[name].to_pylist() for name in names)
                continue
            rows = [
                small_columns(number, self._parsed(number, text))
                for number, text in self._lines(part)
            ]
            yield tuple([row[name] for row in rows] for name in names)

    def sort(self) -> None:
        """Puts the rows of the parts that are text in order, so that the files have one form."""
        for part, places in self._places.items():
            if list(places) != sorted(places):
                self._rewrite(part, list(self._lines(part)))

    def truncate(self, count: int) -> None:
        """Keeps the first ``count`` of episodes that were numbered in order."""
        for part in [part for part in self._files if part * PART >= count]:
            self.count -= self._full.pop(part, len(self._places.pop(part, ())))
            self._files.pop(part).unlink()
        part, kept = divmod(count, PART)
        if kept and part in self._files and count < self.count:
            rows = list(self.texts(range(part * PART, count)))
            self._full.pop(part, None)
            self.count = part * PART + len(rows)
            self._rewrite(part, rows)

    def make_durable(self) -> None:
        """Waits until the last rows are on the disk itself."""
        for part in self._places:
            _sync(self._files[part])

    def where(self, number: int) -> str:
        """Where an episode stands, for messages."""
        part = self._part(number)
        if (places := self._places.get(part)) is None:
            return f"{self._files[part]}, episode {number}"
        with self._files[part].open("rb") as file:
            line = file.read(places[number]).count(b"\n") + 1
        return f"{self._files[part]}:{line}"

    def _part(self, number: int) -> int:
        """The part that an episode is in; a file alone is the only one."""
        return number // PART if self._folder else next(iter(self._files))

    def _lines(self, part: int, wanted: Sequence[int] | None = None) -> Iterator[tuple[int, bytes]]:
        path, places = self._files[part], self._places[part]
        with _reading(path), path.open("rb") as file:
            for number in sorted(places) if wanted is None else wanted:
                if number in places:
                    file.seek(places[number])
                    yield number, file.readline()

    def _parsed(self, number: int, text: bytes) -> Row:
        try:
            return dict(json.loads(text))
        except (ValueError, RecursionError) as error:
            raise BadData(f"{self.where(number)}: not JSON ({error}); the log is damaged") from None

    def _repair(self) -> None:
        for draft in self.path.glob(".*.part"):
            draft.unlink()
        for part in list(self._places):
            self._files[part].with_suffix(_SEALED).unlink(missing_ok=True)
            if len(self._places[part]) == PART:
                self._seal(part)

    def _seal(self, part: int) -> None:
        """Turns a full part into Parquet."""
        path = self._files[part].with_suffix(_SEALED)
        draft = path.with_name(f".{path.name}.part")
        try:
            _write_parquet(draft, self._lines(part))
            _sync(draft)
            draft.replace(path)
        finally:
            with suppress(OSError):
                draft.unlink()
        self._files[part].unlink()
        self._files[part], self._full[part] = path, len(self._places.pop(part))

    def _unseal(self, part: int) -> None:
        """Turns a part back into text."""
        self._rewrite(part, list(self.texts(range(part * PART, (part + 1) * PART))))
        self._full.pop(part, None)

    def _rewrite(self, part: int, rows: Sequence[tuple[int, bytes]]) -> None:
        """Writes the text of a part, in this order."""
        old, path = self._files[part], self.path / f"{part:06d}{_TEXT}"
        draft, places = path.with_name(f".{path.name}.part"), dict[int, int]()
        with draft.open("wb") as file:
            for number, text in rows:
                places[number] = file.tell()
                file.write(text)
        _sync(draft)
        draft.replace(path)
        if old != path:
            old.unlink()
        self._files[part], self._places[part] = path, places


def small_columns(number: int, row: Row) -> Row:
    """The columns of an episode that lists, filters and ratings read."""
    rewards = [step["reward"] for step in row["steps"]]
    failure, verdict = row["failure"], row["verdict"]
    return {
        "number": number,
        "update": row.get("update"),
        "part": str(row.get("stage", row.get("kind", ""))),
        "group": row["group"],
        "problem": str(row["problem_id"]),
        "start_step": row["start_step"],
        "steps": len(rewards),
        "reward": None if failure or None in rewards else float(sum(rewards)),
        "correct": None if verdict is None else bool(verdict["correct"]),
        "failure": "" if failure is None else str(failure["type"]),
    }


def _line(number: int, row: Row) -> bytes:
    return json.dumps({"number": number, **row}).encode() + b"\n"


def _files(path: Path) -> dict[int, Path]:
    """{part: its file}. A part that was killed while it changed its form is there as text too."""
    if path.is_file():
        return {int(path.stem) if path.stem.isdecimal() else 0: path}
    return {
        int(file.stem): file
        for suffix in (_SEALED, _TEXT)
        for file in path.glob(f"*{suffix}")
        if file.stem.isdecimal()
    }


def _scan(path: Path, repair: bool) -> dict[int, int]:
    """{number of an episode: offset of its last complete line}, in the order of these lines.

    A line without a number, which another tool wrote, has its place among the lines.
    """
    places, end = dict[int, int](), 0
    with _reading(path), path.open("rb") as file:
        for line_number, line in enumerate(file):
            if not line.endswith(b"\n"):
                break
            try:
                row = json.loads(line)
                number = int(row.get("number", line_number))
                small_columns(number, row)
            except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
                got = f"{line[:40]!r} ({type(error).__name__}: {error})"
                raise BadData(
                    f"{path}:{line_number + 1}: must be an episode; got {got:.200}. Fix: restore"
                    " the file, or write to another folder"
                ) from None
            places.pop(number, None)
            places[number] = end
            end += len(line)
    if repair and end < path.stat().st_size:
        os.truncate(path, end)
    return places


def arrow() -> tuple[Any, Any]:
    """The modules ``pyarrow`` and ``pyarrow.parquet``. Raises MissingExtra."""
    with optional_import("data", "pyarrow"):
        import pyarrow
        from pyarrow import parquet
    return pyarrow, parquet


def _opened(path: Path) -> Any:
    """The Parquet file of a part."""
    pa, parquet = arrow()
    try:
        file = parquet.ParquetFile(path)
        missing = {*COLUMNS, "row"} - {*file.schema_arrow.names}
    except pa.ArrowException as error:
        raise BadData(f"{path} must be a part of a log; got {str(error).splitlines()[0]}") from None
    if missing:
        raise BadData(f"{path} must be a part of a log; got no column {', '.join(sorted(missing))}")
    return file


def _rows_in(path: Path) -> int:
    with _reading(path):
        return int(_opened(path).metadata.num_rows)


def _sealed_texts(path: Path, numbers: Sequence[int] | None) -> Iterator[tuple[int, bytes]]:
    wanted = None if numbers is None else set(numbers)
    with _reading(path):
        file = _opened(path)
        for group in range(file.num_row_groups):
            found = file.read_row_group(group, columns=["number"])["number"].to_pylist()
            if wanted is not None and wanted.isdisjoint(found):
                continue
            texts = file.read_row_group(group, columns=["row"])["row"]
            for number, text in zip(found, texts, strict=True):
                if wanted is None or number in wanted:
                    yield number, text.as_buffer().to_pybytes()


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BadData(
            f"{path} cannot be read: {error.strerror or error}. Fix: if the run still writes it,"
            " try again"
        ) from error


def _write_parquet(path: Path, rows: Iterable[tuple[int, bytes]]) -> None:
    pa, parquet = arrow()
    kinds = {
        "update": pa.int32(),
        "part": pa.string(),
        "problem": pa.string(),
        "reward": pa.float64(),
        "correct": pa.bool_(),
        "failure": pa.string(),
    }
    schema = pa.schema([(name, kinds.get(name, pa.int64())) for name in COLUMNS])
    schema = schema.append(pa.field("row", pa.string()))
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        batch, size = list[Row](), 0
        for number, text in rows:
            batch.append({**small_columns(number, json.loads(text)), "row": text.decode()})
            size += len(text)
            if size >= _ROW_GROUP_BYTES:
                writer.write_table(pa.Table.from_pylist(batch, schema))
                batch, size = [], 0
        if batch:
            writer.write_table(pa.Table.from_pylist(batch, schema))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
