"""The reward modes that ship. Each is a function of one record; ``HybridMode`` also has settings.

To add a mode, write a function like these in a file of your own and import that file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from srl_env.errors import BadOption
from srl_env.rewards.record import StepRecord, StepReward
from srl_env.rewards.registry import register_reward_mode, reward_mode
from srl_env.rewards.similarity import step_similarity

if TYPE_CHECKING:
    from srl_env.rewards.record import Continuation, Granularity, Measure


@reward_mode(
    "srl",
    default_continuation="expert",
    needs_expert=True,
    reward_range=(-1.0, 1.0),
    needs_verifier=False,
)
def srl(step: StepRecord) -> StepReward:
    """SRL: the similarity of each step to the expert's step, −1 for a format failure.

    The episode's measure decides (``StepRecord.measure``); see ``srl_env.rewards.measures``. After
    the expert's last step the reward is 0.
    Source: SRL, arXiv:2510.25992, section 3.
    """
    whole = step.granularity == "solution"
    return _measured(step, step.parsed.ok, step.parsed.action, step.expert_action, whole)


@reward_mode("rlvr", reward_range=(0.0, 1.0))
def rlvr(step: StepRecord) -> StepReward:
    """RLVR: 0 until the episode ends, then 1 if the verifier says it is correct, else 0.

    Under continuation "expert" the verifier judges the expert's steps and the last action together.
    If it would judge the expert's steps alone (``StepRecord.judged``), the reward is 0 and has no
    part "outcome".
    """
    return _at_end(step, 0.0 if step.verdict is None else float(step.verdict.correct))


@reward_mode("score")
def score(step: StepRecord) -> StepReward:
    """The verifier's score at the episode's end, for verifiers that give partial credit; 0 before.

    The score is "score" in the verdict's details. Without one, the reward is that of rlvr.
    """
    if step.verdict is None:
        return _no_reward(step)
    value = float(step.verdict.details.get("score", step.verdict.correct))
    return StepReward(value, {**_at_end(step, value).parts, "score": value})


@reward_mode("world")
def world(step: StepRecord) -> StepReward:
    """The world's own reward, step by step, for worlds that reward (GEM's, OpenEnv's).

    Without one, the reward is that of rlvr.
    """
    if step.world_reward is None:
        return rlvr.score([step])[0]
    value = step.world_reward
    return StepReward(value, {**_at_end(step, value).parts, "world": value})


@dataclass(frozen=True, slots=True)
class HybridMode:
    """``similarity`` × the reward of srl + ``outcome`` × the reward of rlvr, step by step.

    The similarity counts at every step and the outcome once. Over an episode of N steps the
    similarities therefore weigh N times what the two settings suggest.
    """

    similarity: float = 0.5
    outcome: float = 0.5
    name: str = "hybrid"
    default_continuation: Continuation = "policy"
    default_granularity: Granularity = "step"
    needs_expert: bool = True

    @property
    def reward_range(self) -> tuple[float, float]:
        """The weighted ends of the ranges of srl and rlvr."""
        bonus = sorted((0.0, self.outcome))
        return bonus[0] - abs(self.similarity), bonus[1] + abs(self.similarity)

    def score(self, steps: Sequence[StepRecord]) -> list[StepReward]:
        """The weighted sum for each record, with the parts of both modes."""
        return [
            StepReward(
                self.similarity * near.value + self.outcome * correct.value,
                {**near.parts, **correct.parts},
            )
            for near, correct in zip(srl.score(steps), rlvr.score(steps), strict=True)
        ]


register_reward_mode(HybridMode())


@reward_mode(
    "holistic",
    default_granularity="solution",
    needs_expert=True,
    reward_range=(-1.0, 1.0),
    needs_verifier=False,
)
def holistic(step: StepRecord) -> StepReward:
    """One similarity for the whole solution at the episode's end; −1 for any format failure.

    With granularity "step" the actions after the given prefix are joined by line breaks, and so are
    the expert's.
    """
    if not step.ended:
        return _no_reward(step)
    own, expert = step.parsed.action, step.expert_action
    if step.granularity == "step":
        own = "\n".join((*step.actions[step.start_step :], own))
        expert = "\n".join(step.expert_actions[step.start_step :])
    return _measured(step, step.format_ok_so_far, own, expert, whole=True)


@reward_mode("random", reward_range=(0.0, 1.0), needs_verifier=False)
def random(step: StepRecord) -> StepReward:
    """Control: 0 or 1 with equal probability at the episode's end, whatever was done; 0 before.

    Each copy of a start draws its own number, even if two copies write the same.
    Source of the control: Spurious rewards, arXiv:2506.10947.
    """
    if step.rng is None:  # before the episode's end
        return _no_reward(step)
    value = float(step.rng.random() < 0.5)
    return StepReward(value, {"random": value, "format": float(step.parsed.ok)})


@reward_mode("inverse", reward_range=(0.0, 1.0))
def inverse(step: StepRecord) -> StepReward:
    """Control: the opposite of rlvr, 1 at the episode's end for a wrong answer; 0 before.

    The part "outcome" stays the true one.
    """
    return _at_end(step, 0.0 if step.verdict is None else 1.0 - step.verdict.correct)


@reward_mode("format", reward_range=(0.0, 1.0), needs_verifier=False)
def format(step: StepRecord) -> StepReward:
    """Control: 1 at the episode's end if every step kept the format, else 0; 0 before."""
    return StepReward(
        float(step.ended and step.format_ok_so_far), {"format": float(step.parsed.ok)}
    )


def _measured(
    step: StepRecord, format_ok: bool, own: str, expert: str | None, whole: bool
) -> StepReward:
    """−1 for a format failure, 0 after the expert's last step, else what the measure says.

    whole: the texts are solutions. Measures of single steps leave those to ``step_similarity``.
    """
    if not format_ok:
        return StepReward(-1.0, {"format": 0.0})
    value = 0.0 if expert is None else measured(step.measure, step, own, expert, whole)
    return StepReward(value, {"similarity": value, "format": 1.0})


def measured(measure: Measure, step: StepRecord, own: str, expert: str, whole: bool) -> float:
    """What a measure says of a step, or of whole solutions; BadOption if it is not a number."""
    compare = getattr(measure, "text", step_similarity)
    value = compare(own, expert) if whole else measure(own, step)
    if not isinstance(value, float | int | np.floating):
        raise BadOption(
            "a measure must return a number from 0 to 1; got "
            f"{type(value).__name__} {value!r:.60} from "
            f"{getattr(measure, '__qualname__', measure)!r}. Fix: return float(…)"
        )
    return value  # type: ignore[return-value]


def _at_end(step: StepRecord, value: float) -> StepReward:
    """The value with the parts of a judged step; 0 without a verdict."""
    if step.verdict is None:
        return _no_reward(step)
    outcome = float(step.verdict.correct)
    return StepReward(value, {"outcome": outcome, "format": float(step.parsed.ok)})


def _no_reward(step: StepRecord) -> StepReward:
    return StepReward(0.0, {"format": float(step.parsed.ok)})
