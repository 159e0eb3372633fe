"""Tables: columns of equal length by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from gridfile.errors import ColumnError, CsvError
from gridfile.reader import read_rows, unique_header
from gridfile.types import Value, convert


class Table:
    """Columns in an order. Tables are never changed; what changes one gives a new one."""

    def __init__(self, columns: Mapping[str, Sequence[Value]]) -> None:
        lengths = {len(values) for values in columns.values()}
        if len(lengths) > 1:
            raise ColumnError(f"columns of different lengths: {sorted(lengths)}")
        self._columns = {name: list(values) for name, values in columns.items()}
        self._length = lengths.pop() if lengths else 0

    @classmethod
    def from_rows(cls, names: Sequence[str], rows: Iterable[Sequence[Value]]) -> Table:
        """A table of rows. Raises ColumnError for names or rows that do not go together."""
        if len(set(names)) < len(names):
            raise ColumnError(f"a name twice: {list(names)}")
        rows = list(rows)
        for row in rows:
            if len(row) != len(names):
                raise ColumnError(f"{len(row)} cells for {len(names)} columns: {row!r}")
        return cls({name: [row[index] for row in rows] for index, name in enumerate(names)})

    def __len__(self) -> int:
        return self._length

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Table) and list(self.items()) == list(other.items())

    @property
    def names(self) -> list[str]:
        """The names of the columns, in order."""
        return list(self._columns)

    def column(self, name: str) -> list[Value]:
        """The values of a column. Raises ColumnError, which names one that is meant perhaps."""
        if name not in self._columns:
            raise ColumnError(f"no column {name!r}{self._hint(name)}")
        return list(self._columns[name])

    def items(self) -> Iterable[tuple[str, list[Value]]]:
        """(name, values) of each column."""
        return ((name, list(values)) for name, values in self._columns.items())

    def rows(self) -> list[tuple[Value, ...]]:
        """The rows, each a tuple in the order of the columns."""
        return list(zip(*self._columns.values(), strict=True))

    def records(self) -> list[dict[str, Value]]:
        """The rows as dictionaries by name."""
        return [dict(zip(self.names, row, strict=True)) for row in self.rows()]

    def select(self, names: Sequence[str]) -> Table:
        """Some of the columns, in the order given. Raises ColumnError."""
        return Table({name: self.column(name) for name in names})

    def drop(self, names: Sequence[str]) -> Table:
        """All columns but some. Raises ColumnError."""
        for name in names:
            self.column(name)
        return self.select([name for name in self.names if name not in names])

    def rename(self, names: Mapping[str, str]) -> Table:
        """The same with other names. Raises ColumnError for unknown ones and for a name twice."""
        for name in names:
            self.column(name)
        renamed = [names.get(name, name) for name in self.names]
        return Table.from_rows(renamed, self.rows())

    def take(self, indices: Iterable[int]) -> Table:
        """Some of the rows, in the order given."""
        chosen = list(indices)
        return Table({name: [values[i] for i in chosen] for name, values in self.items()})

    def head(self, count: int = 5) -> Table:
        """The first rows; all but the last ones where the count is negative."""
        return self.take(range(len(self))[:count])

    def sort(self, names: Sequence[str], descending: bool = False) -> Table:
        """The rows by some columns, equal ones in the order they were; None is always last.

        Raises ColumnError.
        """
        order = list(range(len(self)))
        for name in reversed(names):
            values = self.column(name)
            filled = [index for index in order if values[index] is not None]
            empty = [index for index in order if values[index] is None]
            filled.sort(key=lambda index: values[index], reverse=descending)  # type: ignore
            order = filled + empty
        return self.take(order)

    def _hint(self, name: str) -> str:
        for other in self._columns:
            if other.lower() == name.strip().lower():
                return f"; is {other!r} meant?"
        return f"; there are {', '.join(self._columns)}" if self._columns else ""


def read_table(
    text: str, delimiter: str | None = None, kinds: Mapping[str, str] | None = None
) -> Table:
    """The table of a CSV text, whose first row are the names. Short rows are filled with None.

    kinds: the kinds of columns that are not to be guessed.
    Raises CsvError for a text without rows or with a row that is too long, CellError, ColumnError.
    """
    rows = read_rows(text, delimiter)
    if not rows:
        raise CsvError("no header", 1)
    names = unique_header(rows[0])
    for number, row in enumerate(rows[1:], start=2):
        if len(row) > len(names):
            raise CsvError(f"{len(row)} cells for {len(names)} columns", number)
    filled = [row + [""] * (len(names) - len(row)) for row in rows[1:]]
    kinds = kinds or {}
    unknown = [name for name in kinds if name not in names]
    if unknown:
        raise ColumnError(f"no column {unknown[0]!r}")
    cells = {name: [row[index] for row in filled] for index, name in enumerate(names)}
    return Table({name: convert(column, kinds.get(name)) for name, column in cells.items()})
