"""Problems read row by row when they are asked for.

``RowSource`` keeps one number per row, never the rows: a million problems cost 8 MB. What
rows are and where they stand is a subclass's affair (``JsonlSource``, ``DatasetSource``).

Opening does not read the rows, unless bad ones are to be dropped or a split is wanted, which
needs each row once. Otherwise a bad row is an error when it is reached, and an id that two rows
have when all are read: ``know_ids`` does so, and ``check``. A row alone does not tell, and reading
a million takes most of a minute.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import numpy.typing as npt

from srl_env.data.drops import DropReport
from srl_env.data.rows import BadRow, Converter, Row
from srl_env.data.splits import SHARES, split_of
from srl_env.errors import BadData, BadOption, UnknownName
from srl_env.problem import Problem

OnBadRow = Literal["raise", "drop"]
SplitBy = Callable[[Problem], str]


def by_id(problem: Problem) -> str:
    """The problem's id: each problem is put into a split by itself."""
    return problem.id


class RowSource(ABC):
    """A ``ProblemSource`` over rows that are converted one at a time.

    convert: makes a problem of a row. split: only the problems of that part of ``shares``,
    by the hash of their ids, or of what ``split_by`` makes of a problem, so that problems that
    belong together stay in one part. on_bad_row: "raise" ``BadData`` when a bad row is reached, or
    "drop" all bad rows now; ``report`` then says which and why.
    Two rows with the same id are one problem and one bad row, which is only found where all rows
    are read: with a split, with "drop", by ``know_ids``, ``index_of`` and ``check``.
    """

    def __init__(
        self,
        name: str,
        convert: Converter,
        *,
        split: str | None = None,
        shares: Mapping[str, float] = SHARES,
        split_by: SplitBy = by_id,
        on_bad_row: OnBadRow = "raise",
    ) -> None:
        if on_bad_row not in ("raise", "drop"):
            raise BadOption(f"on_bad_row is 'raise' or 'drop'; got {on_bad_row!r}")
        if split is not None and split not in shares:
            raise UnknownName("split", split, shares)
        self.name = name if split is None else f"{name}/{split}"
        self.convert, self.split_by = convert, split_by
        self.report: DropReport | None = None
        self._ids: tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]] | None = None
        self._keys = self._locate()
        if split is not None or on_bad_row == "drop":
            self._select(split, shares, on_bad_row)

    @abstractmethod
    def _locate(self) -> array[int]:
        """One number for each row, by which ``_row`` finds it."""

    @abstractmethod
    def _row(self, key: int) -> Row:
        """The row of that number; ``BadRow`` where it cannot be read."""

    @abstractmethod
    def _place(self, key: int) -> str:
        """Where the row of that number stands, e.g. "train.jsonl:41"."""

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, index: int) -> Problem:
        """Problem number ``index``; ``BadData`` where its row is bad."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"{self.name} has {len(self)} problems; there is no number {index}")
        key = self._keys[index]
        try:
            return self._problem(key)
        except BadRow as error:
            raise self._error(key, error) from error

    def __iter__(self) -> Iterator[Problem]:
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {len(self)} problems)"

    def index_of(self, problem_id: str) -> int:
        """The index of the problem with that id; the first call reads all rows.

        Raises ``UnknownName`` if there is none, ``BadData`` if a row is bad.
        """
        hashes, order = self._known_ids()
        wanted = np.uint64(_hash(problem_id))
        place = int(np.searchsorted(hashes, wanted))
        if place < len(hashes) and hashes[place] == wanted:
            index = int(order[place])
            if self[index].id == problem_id:
                return index
        some = [self[index].id for index in range(min(3, len(self)))]
        raise UnknownName("problem", problem_id, [*some, "…"])

    def know_ids(self) -> None:
        """Reads all rows, once; ``BadData`` for the first that is bad or has the id of another."""
        self._known_ids()

    def where(self, index: int) -> str:
        """Where the row of problem number ``index`` stands, e.g. "train.jsonl:41"."""
        return self._place(self._keys[index])

    def check(self) -> DropReport:
        """Reads all rows; says how many are good, and what is wrong with the others."""
        return self._report(self._read_all())

    def _known_ids(self) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
        """The hashes of all ids, sorted, and the index of the problem of each."""
        if self._ids is None:
            rows = self._read_all()
            if rows.errors:
                raise self._error(*min(rows.errors, key=lambda error: error[0]))
            order = np.argsort(rows.hashes, kind="stable")
            self._ids = rows.hashes[order], order
        return self._ids

    def _select(self, split: str | None, shares: Mapping[str, float], on_bad: OnBadRow) -> None:
        """Keeps the good rows of a split. Raises the first bad row's error, or reports all."""
        rows = self._read_all(split, shares)
        if on_bad == "drop":
            self.report = self._report(rows)
        elif rows.errors:
            raise self._error(*min(rows.errors, key=lambda error: error[0]))
        self._keys = array("q", rows.keys[rows.chosen].tolist())

    def _report(self, rows: _Rows) -> DropReport:
        report = DropReport(self.name, kept=len(rows.keys))
        for key, error in rows.errors:
            report.add(error.reason, partial(self._message, key, error))
        return report

    def _read_all(self, split: str | None = None, shares: Mapping[str, float] = SHARES) -> _Rows:
        """Reads every row once and keeps what ``_Rows`` says."""
        keys, hashes, chosen = array("q"), array("Q"), array("b")
        errors: list[tuple[int, BadRow]] = []
        for key in self._keys:
            try:
                problem = self._problem(key)
            except BadRow as error:
                errors.append((key, error.with_traceback(None)))
                continue
            keys.append(key)
            hashes.append(_hash(problem.id))
            chosen.append(split is None or split_of(self.split_by(problem), shares) == split)
        rows = _Rows(
            np.array(keys, np.int64), np.array(hashes, np.uint64), np.array(chosen, bool), errors
        )
        return rows.without_duplicates(self._place)

    def _problem(self, key: int) -> Problem:
        """The problem in a row; ``BadRow`` whatever is wrong with it."""
        try:
            return self.convert(self._row(key))
        except BadRow:
            raise
        except Exception as error:  # a converter may be anybody's; its row must be named
            raise BadRow(
                f"the converter raised {type(error).__name__}",
                f"{error}; mend the row, or let the converter raise BadRow for it",
            ) from error

    def _message(self, key: int, error: BadRow) -> str:
        return f"{self._place(key)}: {error}"

    def _error(self, key: int, error: BadRow) -> BadData:
        located = BadData(self._message(key, error))
        located.__cause__ = error
        return located


@dataclass(frozen=True, slots=True)
class _Rows:
    """What reading all rows leaves behind.

    keys, hashes (of the ids), chosen (whether in the split): of the good rows, in order, (N,)
    each. errors: the keys of the others, and why.
    """

    keys: npt.NDArray[np.int64]
    hashes: npt.NDArray[np.uint64]
    chosen: npt.NDArray[np.bool_]
    errors: list[tuple[int, BadRow]]

    def without_duplicates(self, place: Callable[[int], str]) -> _Rows:
        """The same, but rows with the id of an earlier one are errors."""
        order = np.argsort(self.hashes, kind="stable")
        same = self.hashes[order][1:] == self.hashes[order][:-1]
        again, before = order[1:][same], order[:-1][same]
        errors = [
            (int(self.keys[row]), _duplicate(place(int(self.keys[earlier]))))
            for row, earlier in zip(again, before, strict=True)
        ]
        good = np.ones(len(self.keys), bool)
        good[again] = False
        return _Rows(self.keys[good], self.hashes[good], self.chosen[good], [*self.errors, *errors])


def _duplicate(earlier: str) -> BadRow:
    return BadRow(
        "the id of an earlier row",
        f"which is {earlier}; ids are unique, and several solutions of one problem are one row "
        'with "trajectories"',
    )


def _hash(problem_id: str) -> int:
    data = problem_id.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")
