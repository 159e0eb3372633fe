"""Problems that are read row by row, when they are asked for.

``RowSource`` keeps one number per row and never the rows: a million problems cost 8 MB. A
subclass knows what the rows are and where they come from (``JsonlSource``, ``DatasetSource``).

Opening reads the rows only to drop bad ones or to make a split; reading a million takes most of a
minute. Otherwise a bad row is an error when it is reached. Two rows with the same id are found
when all rows are read, e.g. by ``know_ids`` or ``check``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from srl_env.data.drops import DropReport
from srl_env.data.rows import BadRow, Converter, Row, repeated_id
from srl_env.data.splits import FRACTIONS, split_key, split_of, text_hash
from srl_env.errors import BadData, BadOption, UnknownName
from srl_env.problem import Problem

OnBadRow = Literal["raise", "drop"]


class RowSource(ABC):
    """A ``ProblemSource`` over rows that are converted one at a time.

    convert: makes a problem from a row. split: keeps only the problems of that split of
    ``fractions``, by the hash of ``split_key``. on_bad_row: "raise" ``BadData`` when a bad row is
    reached, or "drop" all bad rows now; ``report`` then says which and why.
    A row with the id of an earlier row is a bad row. It is found only where all rows are read:
    with a split, with "drop", and by ``know_ids``, ``index_of`` and ``check``.
    """

    def __init__(
        self,
        name: str,
        convert: Converter,
        *,
        split: str | None = None,
        fractions: Mapping[str, float] = FRACTIONS,
        on_bad_row: OnBadRow = "raise",
    ) -> None:
        if on_bad_row not in ("raise", "drop"):
            raise BadOption(f"on_bad_row must be 'raise' or 'drop'; got {on_bad_row!r}")
        if split is not None and split not in fractions:
            raise UnknownName("split", split, fractions)
        self.name = name if split is None else f"{name}/{split}"
        self.convert = convert
        self.report: DropReport | None = None
        self._hashes: npt.NDArray[np.uint64] | None = None  # of the ids, (N,), ascending
        self._order = np.empty(0, np.int64)  # the index of each hash
        self._keys = self._locate()
        if split is not None or on_bad_row == "drop":
            rows = self._read_all(lambda p: not split or split_of(split_key(p), fractions) == split)
            if on_bad_row == "drop":
                self.report = self._report(rows)
            else:
                self._raise_first(rows)
            self._keys = rows.chosen

    @abstractmethod
    def _locate(self) -> array[int]:
        """One number for each row, by which ``_row`` finds it."""

    @abstractmethod
    def _row(self, key: int) -> Row:
        """The row of that number; ``BadRow`` if it cannot be read."""

    @abstractmethod
    def _place(self, key: int) -> str:
        """Where the row of that number stands, e.g. "train.jsonl:41"."""

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, index: int) -> Problem:
        """Problem number ``index``; ``BadData`` if its row is bad."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"{self.name} has {len(self)} problems; there is no number {index}")
        key = self._keys[index]
        try:
            return self._problem(key)
        except BadRow as error:
            raise BadData(f"{self._place(key)}: {error}") from error

    def __iter__(self) -> Iterator[Problem]:
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {len(self)} problems)"

    def index_of(self, problem_id: str) -> int:
        """The index of the problem with that id; the first call reads all rows.

        Raises ``UnknownName`` if there is none, ``BadData`` if a row is bad.
        """
        hashes, wanted = self._known_hashes(), np.uint64(text_hash(problem_id))
        begin, end = np.searchsorted(hashes, wanted), np.searchsorted(hashes, wanted, "right")
        for index in self._order[begin:end]:
            if self[int(index)].id == problem_id:
                return int(index)
        some = [self[index].id for index in range(min(3, len(self)))]
        raise UnknownName("problem", problem_id, [*some, "…"])

    def know_ids(self) -> None:
        """Reads all rows, once; ``BadData`` for the first one that is bad or repeats an id."""
        self._known_hashes()

    def where(self, index: int) -> str:
        """Where the row of problem number ``index`` stands, e.g. "train.jsonl:41"."""
        return self._place(self._keys[index])

    def check(self) -> DropReport:
        """Reads all rows and reports how many are good, and what is wrong with the others."""
        return self._report(self._read_all())

    def _known_hashes(self) -> npt.NDArray[np.uint64]:
        if self._hashes is None:
            rows = self._read_all()
            self._raise_first(rows)
            hashes = np.fromiter(rows.first, np.uint64, len(rows.first))
            self._order = np.argsort(hashes, kind="stable")
            self._hashes = hashes[self._order]
        return self._hashes

    def _raise_first(self, rows: _Rows) -> None:
        for key, error in rows.errors[:1]:
            raise BadData(f"{self._place(key)}: {error}") from error

    def _report(self, rows: _Rows) -> DropReport:
        report = DropReport(self.name, kept=len(rows.first))
        for key, error in rows.errors:
            report.add(self._place(key), error)
        return report

    def _read_all(self, wanted: Callable[[Problem], bool] = lambda _: True) -> _Rows:
        """Reads every row once."""
        first, chosen = dict[int, int](), array("q")
        errors: list[tuple[int, BadRow]] = []
        for key in self._keys:
            try:
                problem = self._problem(key)
                earlier = first.setdefault(text_hash(problem.id), key)
                if earlier != key:
                    raise repeated_id(f"which is {self._place(earlier)}")
            except BadRow as error:
                errors.append((key, error.with_traceback(None)))
            else:
                if wanted(problem):
                    chosen.append(key)
        return _Rows(first, chosen, errors)

    def _problem(self, key: int) -> Problem:
        """The problem in a row; ``BadRow`` whatever is wrong with it."""
        try:
            return self.convert(self._row(key))
        except BadRow:
            raise
        except Exception as error:  # a converter may be anybody's; its row must be named
            raise BadRow(
                f"the converter raised {type(error).__name__}",
                f"{error}. Fix: the row, or let the converter raise BadRow for it",
            ) from error


@dataclass(frozen=True, slots=True)
class _Rows:
    """What reading all rows found.

    first: {hash of an id: key of its first row}, the good rows in order. chosen: the keys of the
    wanted ones. errors: the keys of the bad rows, and why they are bad.
    """

    first: dict[int, int]
    chosen: array[int]
    errors: list[tuple[int, BadRow]]
