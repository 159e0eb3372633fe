"""What can be wrong with a formula; all of it is a FormulaError."""


class FormulaError(Exception):
    """The base of every error raised here."""


class SyntaxFault(FormulaError):
    """A text that is no formula; position: where it stops being one, counted from 0."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(f"{message} at position {position}")
        self.position = position


class EvaluationError(FormulaError):
    """A formula that has no value: a division by zero, a text where a number is needed."""


class UnknownName(EvaluationError):
    """A variable or function that nobody has defined."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"unknown {kind} {name!r}")
        self.name = name


class CycleError(EvaluationError):
    """Cells that need one another; path: their names, the first one again at the end."""

    def __init__(self, path: list[str]) -> None:
        super().__init__("a cycle: " + " -> ".join(path))
        self.path = path
