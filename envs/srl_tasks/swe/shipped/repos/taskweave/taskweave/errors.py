"""What can be wrong with a plan; all of it is a PlanError."""


class PlanError(Exception):
    """The base of every error raised here."""


class UnknownTask(PlanError, LookupError):
    """A task that is not in the plan."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no task {name!r}")
        self.name = name


class CycleFound(PlanError):
    """Tasks that need one another; cycle: their names, the first one again at the end."""

    def __init__(self, cycle: list[str]) -> None:
        super().__init__("a cycle: " + " -> ".join(cycle))
        self.cycle = cycle


class PlanSyntax(PlanError, ValueError):
    """A text that is no plan or no duration; line: where, counted from 1, or 0."""

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(f"line {line}: {message}" if line else message)
        self.line = line
