"""What data hold, in numbers that fit on a screen; counted in constant memory, but for the some 16
bytes of a row that keep ids apart."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from srl_env.data.drops import DropReport
from srl_env.data.forms.detect import Item, Reading, split_of_item
from srl_env.data.ids import IdSet, repeated
from srl_env.data.rows import BadRow
from srl_env.problem import Problem, step_instances


@dataclass(slots=True)
class Spread:
    """How a number is spread; values keep three significant digits."""

    counts: Counter[int] = field(default_factory=Counter)

    def add(self, value: int) -> None:
        """Counts a value, from 0 on."""
        unit = 10 ** max(0, len(str(value)) - 3)
        self.counts[value // unit * unit] += 1

    @property
    def total(self) -> int:
        """How many values were counted."""
        return sum(self.counts.values())

    @property
    def mean(self) -> float:
        """The mean; NaN without any value."""
        total = self.total
        return sum(v * n for v, n in self.counts.items()) / total if total else float("nan")

    def to_json(self) -> dict[str, float | None]:
        """Mean and quantiles; null without any value."""
        found = {f"{share:.0%}": self.quantile(share) for share in (0.05, 0.5, 0.95, 1.0)}
        known = self.total > 0
        return {"mean": self.mean if known else None} | {
            name: value if known else None for name, value in found.items()
        }

    def quantile(self, share: float) -> int:
        """The value that so large a share of the values does not exceed; 0 without any."""
        wanted, seen = share * self.total, 0
        for value in sorted(self.counts):
            seen += self.counts[value]
            if seen >= wanted:
                return value
        return 0


@dataclass(slots=True)
class Summary:
    """Counts over the items that were added.

    bad: the rows that are no problems, or have the id of an earlier one. splits: problems by
    split. answers: problems with one. solutions: by problem. steps: by solution. instances: of
    training, by which steps are targets. titled, thought_out, observed: steps with title,
    thought and observation.
    prompt, action, thought: their lengths in characters. first: the first problem.
    """

    reading: Reading
    bad: DropReport = field(default_factory=lambda: DropReport("rows"))
    splits: Counter[str] = field(default_factory=Counter)
    answers: int = 0
    solutions: Spread = field(default_factory=Spread)
    steps: Spread = field(default_factory=Spread)
    instances: Counter[str] = field(default_factory=Counter)
    titled: int = 0
    thought_out: int = 0
    observed: int = 0
    prompt: Spread = field(default_factory=Spread)
    action: Spread = field(default_factory=Spread)
    thought: Spread = field(default_factory=Spread)
    first: Problem | None = None
    _ids: IdSet = field(default_factory=IdSet, repr=False)

    def to_json(self) -> dict[str, Any]:
        """The numbers, JSON-safe."""
        spreads = {"solutions": self.solutions, "steps": self.steps}
        lengths = {"prompt": self.prompt, "action": self.action, "thought": self.thought}
        return {
            "form": self.reading.form.name,
            "about": self.reading.about,
            "problems": self.bad.kept,
            "bad_rows": dict(self.bad.dropped),
            "splits": dict(self.splits),
            "answers": self.answers,
            "instances": dict(self.instances),
            "titled": self.titled,
            "thought_out": self.thought_out,
            "observed": self.observed,
            **{name: spread.to_json() for name, spread in spreads.items()},
            "characters": {name: spread.to_json() for name, spread in lengths.items()},
        }

    def add(self, item: Item) -> None:
        """Counts an item."""
        problem = item.problem
        if isinstance(problem, Problem) and not self._ids.add(problem.id):
            problem = repeated(problem.id)
        if isinstance(problem, BadRow):
            place = self.reading.place(item)
            self.bad.add(problem.reason, partial("{}: {}".format, place, problem))
            return
        self.first = self.first or problem
        self.bad.kept += 1
        self.splits[split_of_item(item)] += 1
        self.answers += problem.answer is not None
        self.solutions.add(len(problem.trajectories))
        self.prompt.add(len(problem.prompt))
        for targets in ("paper", "all"):
            self.instances[targets] += sum(1 for _ in step_instances(problem, targets))
        for trajectory in problem.trajectories:
            self.steps.add(len(trajectory.steps))
            for step in trajectory.steps:
                self.action.add(len(step.action))
                self.titled += step.title is not None
                self.observed += step.observation is not None
                if step.thought is not None:
                    self.thought_out += 1
                    self.thought.add(len(step.thought))
