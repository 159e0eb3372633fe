"""Where a run is, and when its stages are over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from srl_agents.methods.budget import (
    StageBudget,
    Usage,
    learning_rate,
    probe_due,
    stage_budget,
    stage_end_reason,
)
from srl_agents.methods.stages import Stage
from srl_agents.objectives.metrics import Metrics


@dataclass(slots=True)
class Position:
    """Where a run is; everything here is in its checkpoints, as JSON.

    stage: the number of the current one. usage_at_stage_start: the run's when it began.
    update_seconds: of the last updates, a running mean. scores: each update's mean reward in
    this stage (for demonstrations, mean log-prob of a token). ended: (stage, why) of those that
    are over. drifts: why prompts drifted from what was sampled, as far as it was logged.
    untrained: the metrics of the last updates in a row that trained on nothing, until the
    warning. warnings: {stage: its warning}.
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

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Position:
        """The position that ``asdict`` was taken of."""
        usage = {name: Usage(**data[name]) for name in ("usage", "usage_at_stage_start")}
        return cls(**{**data, **usage, "ended": [tuple(pair) for pair in data["ended"]]})

    def count(self, seconds: float, tokens: int, score: float) -> None:
        """Adds one update to what is used."""
        self.usage = self.usage.plus(seconds, tokens, updates=1)
        old = self.update_seconds or seconds
        self.update_seconds = 0.8 * old + 0.2 * seconds
        self.scores.append(score)


class StageClock:
    """Which stage a run is in, how far along it is, and when it is over.

    Rules are in ``srl_agents.methods.budget``; this holds what they are asked about.
    """

    def __init__(self, stages: Sequence[Stage], whole: StageBudget) -> None:
        """whole: the run's budget."""
        self.stages, self.whole, self.position = stages, whole, Position()

    @property
    def stage(self) -> Stage:
        """The stage at hand."""
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
        """Goes on to the following stage."""
        self.position.stage += 1
        self.position.usage_at_stage_start, self.position.scores = self.position.usage, []

    def share(self) -> float:
        """The share of the whole budget that is used, 0 … 1."""
        return self.whole.progress(self.position.usage)

    def learning_rate(self) -> float:
        """That of the next update, by how far along the stage is in the middle of it."""
        progress = self._budget().progress(self.position.usage, self._update_cost() / 2)
        return learning_rate(self.stage, progress)

    def stage_end_reason(self) -> str | None:
        """Why the stage is over, None while it goes on; what a probe finds is not in it."""
        position = self.position
        return stage_end_reason(
            self.stage.until,
            self._budget(),
            position.usage,
            self._update_cost(),
            self._updates(),
            position.scores,
        )

    def probe_due(self) -> bool:
        """Whether the next stage's groups are to be probed now."""
        made = self._updates()
        return made > 0 and probe_due(self.stage.until, made)

    def _updates(self) -> int:
        """How many were made in this stage."""
        return self.position.usage.updates - self.position.usage_at_stage_start.updates

    def _budget(self) -> StageBudget:
        position = self.position
        return stage_budget(self.whole, self.stages, position.stage, position.usage_at_stage_start)

    def _update_cost(self) -> float:
        """What the next update will probably spend, in the budget's unit."""
        position, usage = self.position, self.position.usage
        by_unit = {
            "updates": 1.0,
            "seconds": position.update_seconds,
            "tokens": usage.tokens / usage.updates if usage.updates else 0.0,
        }
        return by_unit[self.whole.unit]
