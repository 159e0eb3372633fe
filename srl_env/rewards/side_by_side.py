"""Several measures of the same steps, in one rollout or one replay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from srl_env.rewards.measures import find_measure
from srl_env.rewards.modes import measured
from srl_env.rewards.record import StepRecord, StepReward

if TYPE_CHECKING:
    from srl_env.rewards.record import Continuation, Granularity


@dataclass(frozen=True, slots=True)
class SideBySide:
    """A reward mode whose parts are the values of these measures, by name; the first is the reward.

    As in mode "srl", a format failure is −1 and has no other part, and after the expert's last step
    the reward is 0.
    """

    measures: tuple[str, ...]
    name: str = "side-by-side"
    default_continuation: Continuation = "policy"
    default_granularity: Granularity = "step"
    needs_expert: bool = True

    def score(self, steps: Sequence[StepRecord]) -> list[StepReward]:
        """The values of each step."""
        return [self._score(step) for step in steps]

    def _score(self, step: StepRecord) -> StepReward:
        own, expert, whole = step.parsed.action, step.expert_action, step.granularity == "solution"
        if not step.parsed.ok:
            return StepReward(-1.0, {"format": 0.0})
        if expert is None:
            return StepReward(0.0, {"format": 1.0})
        find = step.find_measure or find_measure
        values = {name: measured(find(name), step, own, expert, whole) for name in self.measures}
        return StepReward(values[self.measures[0]], {**values, "format": 1.0})
