"""What can be wrong with a page; all of it is a PageError."""


class PageError(Exception):
    """The base of every error raised here."""


class TemplateError(PageError):
    """A template that cannot be read or filled; line: where, counted from 1."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(f"line {line}: {message}")
        self.line = line


class WidthError(PageError, ValueError):
    """A width that nothing fits into."""
