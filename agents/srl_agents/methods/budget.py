"""When a stage is over, and how far along it is: rules over a few counters.

No clock is read here and no model touched; the trainer counts, these functions decide, and
every decision comes back as a sentence for the log.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from srl_agents.methods.stages import Stage, Until

_REWARD_UPDATES = 20


@dataclass(frozen=True, slots=True)
class Usage:
    """What training has used up: updates, seconds of training, tokens."""

    updates: int = 0
    seconds: float = 0.0
    tokens: int = 0

    def plus(self, seconds: float = 0.0, tokens: int = 0, updates: int = 0) -> Usage:
        """The sum."""
        return replace(
            self,
            updates=self.updates + updates,
            seconds=self.seconds + seconds,
            tokens=self.tokens + tokens,
        )


@dataclass(frozen=True, slots=True)
class StageBudget:
    """One stage's part of the run's budget, in the budget's own unit.

    begin, end: what the whole run has spent when the stage begins, and when it must be over.
    """

    unit: str
    begin: float
    end: float

    def left(self, usage: Usage) -> float:
        """How much of it is unspent, in its unit; at least 0."""
        return max(0.0, self.end - float(getattr(usage, self.unit)))

    def progress(self, usage: Usage, ahead: float = 0.0) -> float:
        """The share of it, 0 … 1, that is spent once ``ahead`` more is."""
        size = self.end - self.begin
        now = float(getattr(usage, self.unit)) + ahead
        return min(1.0, (now - self.begin) / size) if size else 1.0


def stage_budget(
    whole: StageBudget, stages: Sequence[Stage], number: int, begun: Usage
) -> StageBudget:
    """The part of a run's whole budget for the stage ``stages[number]``.

    begun: what the run had spent when the stage began. The stage takes the fraction it names. What
    the fractions of later stages leave is divided evenly among the stages from here on that name
    none. The last stage takes all that is left.
    """
    begin = float(getattr(begun, whole.unit))
    fraction = stages[number].fraction
    size = _even_part(whole, begin, stages[number:]) if fraction is None else fraction * whole.end
    if whole.unit != "seconds":
        size = max(1.0, round(size))
    last = number == len(stages) - 1
    return StageBudget(whole.unit, begin, whole.end if last else min(whole.end, begin + size))


def _even_part(whole: StageBudget, begin: float, stages: Sequence[Stage]) -> float:
    """The part of the budget left at ``begin`` for each stage that names no fraction."""
    named = [stage.fraction for stage in stages if stage.fraction is not None]
    left = whole.end - begin - math.fsum(named) * whole.end
    return max(0.0, left) / (len(stages) - len(named))


def stage_end_reason(
    until: Until,
    budget: StageBudget,
    usage: Usage,
    update_cost: float,
    stage_updates: int,
    rewards: Sequence[float],
) -> str | None:
    """Why the stage is over now, as a sentence; None while it goes on.

    update_cost: what the next update will probably spend, in the budget's unit; a stage limited
    by time stops before an update that would not fit. stage_updates: made in this stage.
    rewards: the mean reward of each of them.
    """
    if budget.left(usage) <= (update_cost if budget.unit == "seconds" else 0):
        return f"its budget is spent: {budget.end - budget.begin:g} {budget.unit}"
    if until.updates is not None and stage_updates >= until.updates:
        return f"{stage_updates} updates were made"
    if until.reward is not None and (reason := _why_reached(rewards, until.reward)) is not None:
        return reason
    if until.plateau is not None:
        return _why_plateau(rewards, until.plateau, until.min_gain)
    return None


def why_informative(until: Until, share: float) -> str | None:
    """Why a probe's share of informative groups ends the stage; None where it does not."""
    if until.informative is None or share < until.informative:
        return None
    return f"{share:.2f} of the probed groups are informative, at least {until.informative:g}"


def probe_due(until: Until, stage_updates: int) -> bool:
    """Whether the next stage's groups are to be probed after this many updates of the stage."""
    return until.informative is not None and stage_updates % until.probe_every == 0


def learning_rate(stage: Stage, progress: float) -> float:
    """The learning rate after a share ``progress`` of the stage's budget."""
    if progress < stage.warmup:
        return stage.lr * progress / stage.warmup
    if stage.schedule == "constant" or stage.warmup == 1:
        return stage.lr
    falling = (progress - stage.warmup) / (1 - stage.warmup)
    if stage.schedule == "linear":
        return stage.lr * (1 - falling)
    return stage.lr * 0.5 * (1 + math.cos(math.pi * falling))


def _why_reached(rewards: Sequence[float], goal: float) -> str | None:
    if len(rewards) < _REWARD_UPDATES:
        return None
    mean = sum(rewards[-_REWARD_UPDATES:]) / _REWARD_UPDATES
    if mean < goal:
        return None
    return f"the reward is {mean:.4f} over the last {_REWARD_UPDATES} updates, at least {goal:g}"


def _why_plateau(rewards: Sequence[float], window: int, min_gain: float) -> str | None:
    if len(rewards) < 2 * window:
        return None
    means = [sum(rewards[end - window : end]) / window for end in range(window, len(rewards) + 1)]
    best, now = max(means[:-window]), means[-1]
    if now >= best + min_gain:
        return None
    return (
        f"the reward is on a plateau: {now:.4f} over the last {window} updates,"
        f" {best:.4f} at its best before"
    )
