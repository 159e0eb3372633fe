"""The form of data, detected from their first rows.

    reading = read_problems(["train.jsonl", "test.jsonl"])
    print(reading.form.name)             # "gsm8k"
    for item in reading:                 # in constant memory
        print(reading.place(item), item.split, item.problem)

Each form is a file beside this one with its ``FORM``. The first of ``FORMS`` that fits most of the
first rows is used. Your own form is read by its place: ``ReadOptions(form="my_module:FORM")``.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple

from srl_env.data.files.streams import FileRow, Paths, RowStream
from srl_env.data.forms.columns import as_options, proposed
from srl_env.data.forms.form import Form, ReadOptions
from srl_env.data.rows import BadRow, Row, repeated_id
from srl_env.data.splits import split_key, split_of, text_hash
from srl_env.errors import BadData
from srl_env.named import named
from srl_env.problem import Problem

READ_AHEAD = 64
_COLUMNS = ("prompt", "steps", "solution", "answer", "id", "thought", "grade")
_MODULES = (
    "atif",
    "pivot",
    "swe_trajectories",
    "swe_instances",
    "canonical",
    "gsm8k",
    "step_list",
    "numbered",
    "raw",
)
FORMS: Mapping[str, Form] = {
    form.name: form
    for form in (import_module(f"srl_env.data.forms.{name}").FORM for name in _MODULES)
}


class Item(NamedTuple):
    """A row that was read.

    file, number: its place, see ``FileRow``. split: the one asked for, else the one that its
    file's name says, else None. problem: ``BadRow`` if the row is bad.
    """

    file: int
    number: int
    split: str | None
    problem: Problem | BadRow


class Reading:
    """The problems in files, one after the other. Iterate over it once.

    form: the form of the rows. stream: the files and how far they are read. columns: those of the
    first rows.
    """

    def __init__(self, stream: RowStream, options: ReadOptions) -> None:
        """Reads the first rows. Raises ``BadData`` if no form fits them."""
        form = None if options.form is None else named("form", options.form, FORMS)
        self.stream, self._splits = stream, options.splits
        self._rows = iter(stream)
        self._ahead = list(itertools.islice(self._rows, READ_AHEAD))
        rows = [found.row for found in self._ahead if not isinstance(found.row, BadRow)]
        self.columns = tuple(dict.fromkeys(name for row in rows for name in row))
        self.form = form or self._detected(rows, options)
        self.convert = self.form.converter(_fitting(self.form, rows, options) or rows, options)

    @property
    def unused(self) -> tuple[str, ...]:
        """The columns that no problem uses; () for forms that know all of their columns."""
        used = {getattr(self.convert, name, None) for name in _COLUMNS}
        return tuple(name for name in self.columns if name not in used) if used - {None} else ()

    @property
    def splits_are_files(self) -> bool:
        """Whether the names of the files give the split of every problem."""
        files = range(len(self.stream.files))
        return self._splits is None and all(self.stream.split(file) for file in files)

    @property
    def about(self) -> str:
        """The form in words, with its columns and splitter."""
        return f"{self.form.name} ({_described(self.convert) or self.form.about})"

    def __iter__(self) -> Iterator[Item]:
        for found in itertools.chain(self._ahead, self._rows):
            problem = self._problem(found)
            split = self.stream.split(found.file)
            if self._splits is not None and isinstance(problem, Problem):
                split = split_of(split_key(problem), self._splits)
            yield Item(found.file, found.number, split, problem)

    def unique(self) -> Iterator[Item]:
        """The items; a problem with the id of an earlier one is a ``BadRow``.

        Keeps one number per problem, about 100 bytes.
        """
        seen = set[int]()
        for item in self:
            if isinstance(item.problem, Problem):
                known = len(seen)
                seen.add(text_hash(item.problem.id))
                if len(seen) == known:
                    item = item._replace(problem=repeated_id(f"{item.problem.id!r:.80}"))
            yield item

    def place(self, item: Item) -> str:
        """Where an item stands, for people."""
        return self.stream.place(item.file, item.number)

    def _problem(self, found: FileRow) -> Problem | BadRow:
        if isinstance(found.row, BadRow):
            return found.row
        try:
            return self.convert(found.row)
        except BadRow as error:
            return error.with_traceback(None)
        except Exception as error:  # noqa: BLE001  # a splitter may be anybody's
            return BadRow(f"the converter raised {type(error).__name__}", str(error))

    def _detected(self, rows: Sequence[Row], options: ReadOptions) -> Form:
        if options.splitter or options.join_below or options.answer_step:
            return FORMS["raw"]
        for form in FORMS.values():
            if 2 * len(_fitting(form, rows, options)) > len(rows):
                return form
        raise self._unknown(rows)

    def _unknown(self, rows: Sequence[Row]) -> BadData:
        files = ", ".join(map(str, self.stream.files[:3]))
        if not self._ahead:
            return BadData(f"{files} is empty; expected rows, a problem in each")
        if not rows:
            first = self._ahead[0]
            return BadData(f"{self.stream.place(first.file, first.number)}: {first.row}")
        options = as_options(proposed(rows)) or "--column prompt=QUESTION --column solution=TEXT"
        return UnknownForm(
            f"{files}: unknown columns {', '.join(self.columns)}. Fix: name them, as {options}; or "
            f"choose a --form: {', '.join(FORMS)}",
            rows,
        )


class UnknownForm(BadData):
    """Rows that fit no form; ``rows``: the first of them."""

    def __init__(self, message: str, rows: Sequence[Row]) -> None:
        super().__init__(message)
        self.rows = rows

    def __reduce__(self) -> tuple[type[UnknownForm], tuple[str, Sequence[Row]]]:
        return type(self), (str(self), self.rows)


def read_problems(paths: Paths, options: ReadOptions | None = None) -> Reading:
    """The problems in a file or folder, or in several, in whatever form they are.

    Raises ``BadData`` for a path without data and if no form fits, ``UnknownName`` and
    ``BadOption`` for options that cannot work. Bad rows are items like others.
    """
    return Reading(RowStream(paths), options or ReadOptions())


def assumed_split(item: Item) -> str:
    """The split of an item that is a problem; the hash decides if its file names none."""
    assert isinstance(item.problem, Problem)
    return item.split or split_of(split_key(item.problem))


def _fitting(form: Form, rows: Sequence[Row], options: ReadOptions) -> list[Row]:
    return [row for row in rows if form.fits(row, options)]


def _described(convert: Any) -> str:
    """A converter's columns and splitter; "" for one that has none."""
    parts = [
        f"{name} in {column!r}"
        for name in ("prompt", "steps", "solution", "answer")
        if isinstance(column := getattr(convert, name, None), str)
    ]
    if split := getattr(convert, "split", None):
        parts.append(f"split into {getattr(split, '__name__', repr(split))}")
    return ", ".join(parts)
