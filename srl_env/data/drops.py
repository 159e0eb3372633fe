"""What was dropped from a source of problems, and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

EXAMPLES = 3


@dataclass(slots=True)
class DropReport:
    """How many rows were kept and dropped; ``str`` of it is for people.

    dropped: by reason, how many. examples: by reason, the first few messages, each with
    file and line, what was expected and what to do.
    """

    source: str
    kept: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, message: Callable[[], str]) -> None:
        """Counts one dropped row; its message is only made where it is kept."""
        self.dropped[reason] = self.dropped.get(reason, 0) + 1
        examples = self.examples.setdefault(reason, [])
        if len(examples) < EXAMPLES:
            examples.append(message())

    @property
    def total_dropped(self) -> int:
        """How many rows were dropped for all reasons together."""
        return sum(self.dropped.values())

    def __str__(self) -> str:
        total = self.kept + self.total_dropped
        lines = [f"{self.source}: {self.kept:,} of {total:,} rows kept"]
        for reason, count in sorted(self.dropped.items(), key=lambda item: -item[1]):
            lines.append(f"  {count:,} dropped: {reason}")
            lines += [f"    {example}" for example in self.examples[reason]]
        return "\n".join(lines)
