"""Counts of what data hold, in constant memory but for about 100 bytes per row for the ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from srl_env.data.drops import DropReport
from srl_env.data.forms.detect import Item, Reading, assumed_split
from srl_env.data.rows import BadRow
from srl_env.problem import Problem, start_steps


class Spread(Counter[int]):
    """{value: how often}, for values from 0 on; they keep three significant digits."""

    def add(self, value: int) -> None:
        """Counts a value."""
        unit = 10 ** max(0, len(str(value)) - 3)
        self[value // unit * unit] += 1

    @property
    def mean(self) -> float:
        """The mean; NaN without any value."""
        total = self.total()
        return sum(v * n for v, n in self.items()) / total if total else float("nan")

    def to_json(self) -> dict[str, float | None]:
        """Mean and quantiles; null without any value."""
        quantiles = {f"{part:.0%}": self.quantile(part) for part in (0.05, 0.5, 0.95, 1.0)}
        found: dict[str, float | None] = {"mean": self.mean, **quantiles}
        return found if self else dict.fromkeys(found)

    def quantile(self, fraction: float) -> int:
        """The smallest value that at least this fraction of the values do not exceed."""
        wanted, seen = fraction * self.total(), 0
        for value in sorted(self):
            seen += self[value]
            if seen >= wanted:
                return value
        return 0


@dataclass(slots=True)
class Summary:
    """Counts over the items of a reading.

    bad: the rows that are not problems or have the id of an earlier one. counts: problems with an
    "answer"; steps with a "title", "thought" and "observation". splits: problems by split.
    instances: training instances, by which steps are targets. spreads: of the number of
    "solutions" of a problem and of "steps" of a solution, and of the characters of "prompt",
    "action" and "thought". first: the first problem.
    """

    reading: Reading
    bad: DropReport = field(default_factory=lambda: DropReport("rows"))
    counts: Counter[str] = field(default_factory=Counter)
    splits: Counter[str] = field(default_factory=Counter)
    instances: Counter[str] = field(default_factory=Counter)
    spreads: dict[str, Spread] = field(
        default_factory=lambda: {
            name: Spread() for name in ("solutions", "steps", "prompt", "action", "thought")
        }
    )
    first: Problem | None = None

    def to_json(self) -> dict[str, Any]:
        """The numbers, JSON-safe."""
        spreads = {name: spread.to_json() for name, spread in self.spreads.items()}
        return {
            "form": self.reading.form.name,
            "about": self.reading.about,
            "problems": self.bad.kept,
            "bad_rows": dict(self.bad.dropped),
            "splits": dict(self.splits),
            "answers": self.counts["answer"],
            "instances": dict(self.instances),
            "titled": self.counts["title"],
            "thought_out": self.counts["thought"],
            "observed": self.counts["observation"],
            "solutions": spreads["solutions"],
            "steps": spreads["steps"],
            "characters": {name: spreads[name] for name in ("prompt", "action", "thought")},
        }

    def add(self, item: Item) -> None:
        """Counts an item."""
        problem = item.problem
        if isinstance(problem, BadRow):
            self.bad.add(self.reading.place(item), problem)
            return
        self.first = self.first or problem
        self.bad.kept += 1
        self.splits[assumed_split(item)] += 1
        self.counts["answer"] += problem.answer is not None
        self.spreads["solutions"].add(len(problem.trajectories))
        self.spreads["prompt"].add(len(problem.prompt))
        for targets in ("paper", "all"):
            self.instances[targets] += len(start_steps(problem, targets))
        for trajectory in problem.trajectories:
            self.spreads["steps"].add(len(trajectory.steps))
            for step in trajectory.steps:
                self.spreads["action"].add(len(step.action))
                for part in ("title", "thought", "observation"):
                    self.counts[part] += getattr(step, part) is not None
                if step.thought is not None:
                    self.spreads["thought"].add(len(step.thought))


def summarize(reading: Reading, on_progress: Callable[[int], None] | None = None) -> Summary:
    """Counts over all items. Reads ``reading`` to its end."""
    summary = Summary(reading)
    for rows, item in enumerate(reading.unique(), 1):
        summary.add(item)
        if on_progress is not None and rows % 256 == 0:
            on_progress(rows)
    return summary
