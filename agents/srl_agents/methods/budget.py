"""Budgets of stages, and rules that end a stage: functions of a few counters.

No clock is read here and no model touched. Every decision comes back as a sentence for the log.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from srl_agents.methods.stages import Stage, Until


@dataclass(frozen=True, slots=True)
class Usage:
    """What training has used: updates, seconds, and tokens as ``budget.tokens`` counts them."""

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

    begin, end: the run's usage when the stage begins, and when it must end.
    """

    unit: str
    begin: float
    end: float

    def left(self, usage: Usage) -> float:
        """How much is left, in its unit; at least 0."""
        return max(0.0, self.end - float(getattr(usage, self.unit)))

    def progress(self, usage: Usage, ahead: float = 0.0) -> float:
        """The fraction, 0 … 1, that is used once ``ahead`` more is."""
        size = self.end - self.begin
        now = float(getattr(usage, self.unit)) + ahead
        return min(1.0, (now - self.begin) / size) if size else 1.0


def stage_budget(
    whole: StageBudget, stages: Sequence[Stage], number: int, begun: Usage
) -> StageBudget:
    """The part of a run's whole budget for the stage ``stages[number]``.

    begun: the run's usage when the stage began. The stage takes its own ``fraction``. What the
    fractions of later stages leave is divided evenly among the stages from here on that name none.
    The last stage takes all that is left.
    """
    begin, ahead = float(getattr(begun, whole.unit)), stages[number:]
    fraction = stages[number].fraction
    if fraction is None:
        named = [stage.fraction for stage in ahead if stage.fraction is not None]
        left = whole.end - begin - math.fsum(named) * whole.end
        size = max(0.0, left) / (len(ahead) - len(named))
    else:
        size = fraction * whole.end
    if whole.unit != "seconds":
        size = max(1.0, round(size))
    return StageBudget(whole.unit, begin, min(whole.end, begin + size) if ahead[1:] else whole.end)


def stage_end_reason(
    until: Until,
    budget: StageBudget,
    usage: Usage,
    update_cost: float,
    stage_updates: int,
    rewards: Sequence[float],
) -> str | None:
    """Why the stage ends now, as a sentence; None while it continues.

    update_cost: the expected cost of the next update, in the budget's unit. A stage limited by
    time stops before an update that would not fit. stage_updates: made in this stage. rewards:
    the mean reward of each of them.
    """
    if budget.left(usage) <= (update_cost if budget.unit == "seconds" else 0):
        size = budget.end - budget.begin
        unit = budget.unit.removesuffix("s") if size == 1 else budget.unit
        return f"its budget is used up: {size:g} {unit}"
    if until.updates is not None and stage_updates >= until.updates:
        return f"{stage_updates} updates were made"
    if until.reward is not None:
        reason = _reward_reached(rewards, until.reward, until.reward_updates)
        if reason is not None:
            return reason
    return None if until.plateau is None else _plateau(rewards, until.plateau, until.min_gain)


def why_informative(until: Until, fraction: float) -> str | None:
    """Why a probe's fraction of informative groups ends the stage; None if it does not."""
    if until.informative is None or fraction < until.informative:
        return None
    return f"{fraction:.2f} of the probed groups are informative, at least {until.informative:g}"


def learning_rate(stage: Stage, progress: float) -> float:
    """The learning rate after a fraction ``progress`` of the stage's budget."""
    if progress < stage.warmup:
        return stage.lr * progress / stage.warmup
    if stage.schedule == "constant" or stage.warmup == 1:
        return stage.lr
    falling = (progress - stage.warmup) / (1 - stage.warmup)
    if stage.schedule == "linear":
        return stage.lr * (1 - falling)
    return stage.lr * 0.5 * (1 + math.cos(math.pi * falling))


def _reward_reached(rewards: Sequence[float], goal: float, updates: int) -> str | None:
    mean = sum(rewards[-updates:]) / updates
    if len(rewards) < updates or mean < goal:
        return None
    return f"the reward is {mean:.4f} over the last {updates} updates, at least {goal:g}"


def _plateau(rewards: Sequence[float], window: int, min_gain: float) -> str | None:
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
