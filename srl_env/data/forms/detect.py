"""The forms that data come in, told apart by their first rows.

    reading = read_problems(["train.jsonl", "test.jsonl"])
    print(reading.form)                  # "gsm8k"
    for item in reading:                 # in constant memory
        print(item.place, item.split, item.problem)

Each form is a file beside this one with its ``FORM``: its name, what its rows look like and what
fits it. The first of ``FORMS`` that fits most of the rows read ahead is taken.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from srl_env.data.files.streams import FileRow, RowStream
from srl_env.data.forms import (
    atif,
    canonical,
    gsm8k,
    numbered,
    raw,
    step_list,
    swe_instances,
    swe_trajectories,
)
from srl_env.data.forms.columns import as_options, proposed
from srl_env.data.forms.form import Form, ReadOptions
from srl_env.data.forms.swe_trajectories import instance_of
from srl_env.data.rows import BadRow, Row
from srl_env.data.splits import SHARES, split_of
from srl_env.errors import BadData, UnknownName
from srl_env.problem import Problem

READ_AHEAD = 64


class Item(NamedTuple):
    """A row that was read.

    file, number: where it stands, see ``FileRow``. split: by its file's name, else None.
    problem: ``BadRow`` where it is none.
    """

    file: int
    number: int
    split: str | None
    problem: Problem | BadRow


class Reading:
    """The problems in files, one after the other: iterate over it once.

    form: the form they are in. about: that in words, with columns and splitter. stream: the
    files and how far they are read. columns: those of the rows read ahead.
    """

    def __init__(self, stream: RowStream, options: ReadOptions) -> None:
        """Reads the first rows. Raises ``BadData`` where no form fits them."""
        if options.form is not None and options.form not in FORMS:
            raise UnknownName("form", options.form, FORMS)
        self.stream = stream
        self._rows = iter(stream)
        self._ahead = list(itertools.islice(self._rows, READ_AHEAD))
        rows = [found.row for found in self._ahead if not isinstance(found.row, BadRow)]
        self.columns = tuple(dict.fromkeys(name for row in rows for name in row))
        self.form = FORMS[options.form] if options.form else self._detected(rows, options)
        self.convert = self.form.converter(_fitting(self.form, rows, options) or rows, options)

    @property
    def unused(self) -> tuple[str, ...]:
        """The columns that no problem is made of; () for forms that know all of theirs."""
        fields = ("prompt", "question", "steps", "solution", "answer", "id", "thought", "grade")
        used = {getattr(self.convert, name, None) for name in fields}
        return tuple(name for name in self.columns if name not in used) if used - {None} else ()

    @property
    def about(self) -> str:
        """The form in words."""
        return f"{self.form.name} ({_described(self.convert) or self.form.about})"

    def __iter__(self) -> Iterator[Item]:
        for found in itertools.chain(self._ahead, self._rows):
            split = self.stream.split(found.file)
            yield Item(found.file, found.number, split, self._problem(found))

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
        """What to say where no form fits."""
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


def read_problems(
    paths: Sequence[str | os.PathLike[str]], options: ReadOptions | None = None
) -> Reading:
    """The problems in files or folders, in whatever form they are.

    Raises ``BadData`` for a path without data and where no form fits, ``UnknownName`` and
    ``BadOption`` for options that cannot work. Bad rows are items like others.
    """
    return Reading(RowStream(paths), options or ReadOptions())


def split_of_item(item: Item, shares: Mapping[str, float] | None = None) -> str:
    """The split of an item that is a problem.

    shares: which splits to make, by the hash of the id (of an agent's trajectory: of its
    instance); by default the file's split, and where it has none, ``SHARES``.
    """
    assert isinstance(item.problem, Problem)
    if shares is None and item.split is not None:
        return item.split
    return split_of(instance_of(item.problem), SHARES if shares is None else shares)


def _fitting(form: Form, rows: Sequence[Row], options: ReadOptions) -> list[Row]:
    return [row for row in rows if form.fits(row, options)]


def _described(convert: Any) -> str:
    """A converter's columns and splitter; "" for one that has none."""
    parts = [
        f"{name} in {column!r}"
        for name in ("prompt", "question", "steps", "solution", "answer")
        if isinstance(column := getattr(convert, name, None), str)
    ]
    if split := getattr(convert, "split", None):
        parts.append(f"split into {getattr(split, '__name__', repr(split))}")
    return ", ".join(parts)


FORMS: Mapping[str, Form] = {
    module.FORM.name: module.FORM
    for module in (
        atif,
        swe_trajectories,
        swe_instances,
        canonical,
        gsm8k,
        step_list,
        numbered,
        raw,
    )
}
