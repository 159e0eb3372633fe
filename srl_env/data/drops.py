"""The rows that a source of problems dropped, and why."""

from __future__ import annotations

from dataclasses import dataclass, field

from srl_env.data.rows import BadRow

EXAMPLES = 3


@dataclass(slots=True)
class DropReport:
    """How many rows were kept and dropped; ``str`` of it is for people.

    dropped: {reason: number of rows}. examples: {reason: the first few messages}, each with file
    and line, what was expected and what to do.
    """

    source: str
    kept: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, place: str, error: BadRow) -> None:
        """Counts a dropped row. place: its file and line."""
        self.dropped[error.reason] = self.dropped.get(error.reason, 0) + 1
        examples = self.examples.setdefault(error.reason, [])
        if len(examples) < EXAMPLES:
            examples.append(f"{place}: {error}")

    @property
    def total_dropped(self) -> int:
        """The number of dropped rows, for all reasons together."""
        return sum(self.dropped.values())

    def __str__(self) -> str:
        total = self.kept + self.total_dropped
        lines = [f"{self.source}: {self.kept:,} of {total:,} rows kept"]
        for reason, count in sorted(self.dropped.items(), key=lambda item: -item[1]):
            lines.append(f"  {count:,} dropped: {reason}")
            lines += [f"    {example}" for example in self.examples[reason]]
        return "\n".join(lines)
