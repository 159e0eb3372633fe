"""What can be wrong with a table; all of it is a GridError."""


class GridError(Exception):
    """The base of every error raised here."""


class CsvError(GridError, ValueError):
    """A text that is no CSV; line: where, counted from 1."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(f"line {line}: {message}")
        self.line = line


class CellError(GridError, ValueError):
    """A cell that cannot be read as what its column is said to be."""


class ColumnError(GridError, LookupError):
    """A column that is not there, is there twice, or has another length."""
