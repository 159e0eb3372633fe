"""Where a run is, and when its stages end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from srl_agents.methods import budget
from srl_agents.methods.budget import StageBudget, Usage
from srl_agents.methods.stages import Stage
from srl_agents.objectives.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Evaluated:
    """An evaluation after so much training; score: of the chosen metric, None without any."""

    update: int
    seconds: float
    score: float | None


@dataclass(slots=True)
class Position:
    """Where a run is. Checkpoints hold all of this as JSON.

    stage: the number of the current one. usage_at_stage_start: the run's usage when it began.
    update_seconds: a running mean. scores: each update's mean reward in this stage (for
    demonstrations, a token's mean log-prob). ended: (stage, why) of finished stages. drifts: the
    reasons of changed prompts that were logged. untrained: the metrics of the last updates in a
    row that trained on nothing, until the warning. warnings: {stage: its warning}. evaluations:
    all during the run.
    """

    usage: Usage = field(default_factory=Usage)
    stage: int = 0
    usage_at_stage_start: Usage = field(default_factory=Usage)
    update_seconds: float = 0.0
    scores: list[float] = field(default_factory=list)
    ended: list[tuple[str, str]] = field(default_factory=list)
    drifts: list[str] = field(default_factory=list)
    untrained: list[Metrics] = field(default_factory=list)
    warnings: dict[str, str] = field(default_factory=dict)
    evaluations: list[Evaluated] = field(default_factory=list)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Position:
        """The inverse of ``asdict``."""
        made: dict[str, Any] = {
            "ended": [tuple(pair) for pair in data["ended"]],
            "evaluations": [Evaluated(**each) for each in data.get("evaluations", [])],
        }
        made |= {name: Usage(**data[name]) for name in ("usage", "usage_at_stage_start")}
        return cls(**{**data, **made})

    def count(self, seconds: float, tokens: int, score: float) -> None:
        """Adds one update to the usage."""
        self.usage = self.usage.plus(seconds, tokens, updates=1)
        self.update_seconds = 0.8 * (self.update_seconds or seconds) + 0.2 * seconds
        self.scores.append(score)


class StageClock:
    """Which stage a run is in, how far along it is, and when it ends."""

    def __init__(self, stages: Sequence[Stage], whole: StageBudget) -> None:
        """whole: the run's budget."""
        self.stages, self.whole, self.position = stages, whole, Position()

    @property
    def stage(self) -> Stage:
        """The current stage."""
        return self.stages[self.position.stage]

    @property
    def following(self) -> Stage:
        """The stage after it."""
        return self.stages[self.position.stage + 1]

    @property
    def last(self) -> bool:
        """Whether no stage follows."""
        return self.position.stage == len(self.stages) - 1

    def begin_next(self) -> None:
        """Begins the following stage."""
        self.position.stage += 1
        self.position.usage_at_stage_start, self.position.scores = self.position.usage, []

    def fraction(self) -> float:
        """The fraction of the whole budget that is used, 0 … 1."""
        return self.whole.progress(self.position.usage)

    def stage_fraction(self) -> float:
        """The fraction of the stage's budget that is used, 0 … 1."""
        return self._budget().progress(self.position.usage)

    def learning_rate(self) -> float:
        """The next update's, from the stage's progress in the middle of it."""
        progress = self._budget().progress(self.position.usage, self._update_cost() / 2)
        return budget.learning_rate(self.stage, progress)

    def stage_end_reason(self) -> str | None:
        """Why the stage ends, apart from probes; None while it continues."""
        position = self.position
        return budget.stage_end_reason(
            self.stage.until,
            self._budget(),
            position.usage,
            self._update_cost(),
            self._updates(),
            position.scores,
        )

    def probe_due(self) -> bool:
        """Whether to probe the next stage's groups now."""
        made, until = self._updates(), self.stage.until
        return made > 0 and until.informative is not None and made % until.probe_every == 0

    def _updates(self) -> int:
        """The number of updates in this stage."""
        return self.position.usage.updates - self.position.usage_at_stage_start.updates

    def _budget(self) -> StageBudget:
        position = self.position
        return budget.stage_budget(
            self.whole, self.stages, position.stage, position.usage_at_stage_start
        )

    def _update_cost(self) -> float:
        """The expected cost of the next update, in the budget's unit."""
        usage = self.position.usage
        by_unit = {
            "updates": 1.0,
            "seconds": self.position.update_seconds,
            "tokens": usage.tokens / usage.updates if usage.updates else 0.0,
        }
        return by_unit[self.whole.unit]
