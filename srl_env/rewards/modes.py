"""Reward modes: how a step is paid, chosen per episode by name or by object.

A mode only looks at records; it never changes what the environment shows. The
registry maps names to modes; ``reward_mode`` turns a function into one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from srl_env.errors import BadOption
from srl_env.rewards.record import StepReward
from srl_env.rewards.registry import register_reward_mode
from srl_env.rewards.similarity import step_similarity

if TYPE_CHECKING:
    from srl_env.rewards.record import Continuation, Granularity, Similarity, StepRecord


@dataclass(frozen=True, slots=True)
class SimilarityMode:
    """SRL: each step is paid its similarity to the expert's step, −1 on format failure.

    How they are compared is the environment's affair (``StepRecord.similarity``); a whole
    solution is compared as a text. Beyond the expert's end there is nothing to be similar to: 0.
    Source: SRL, arXiv:2510.25992, section 3.
    """

    name: str = "srl"
    default_continuation: Continuation = "expert"
    default_granularity: Granularity = "step"
    needs_expert: bool = True
    reward_range: ClassVar[tuple[float, float]] = (-1.0, 1.0)

    def score(self, steps: Sequence[StepRecord]) -> list[StepReward]:
        """In [0, 1] ∪ {−1} for each record."""
        return [_step_reward(s) for s in steps]


@dataclass(frozen=True, slots=True)
class HolisticMode:
    """One similarity for the whole solution, paid at episode end; −1 on any format failure.

    With granularity "step" the actions after the given prefix are joined by line breaks,
    as are the expert's.
    """

    name: str = "holistic"
    default_continuation: Continuation = "policy"
    default_granularity: Granularity = "solution"
    needs_expert: bool = True
    reward_range: ClassVar[tuple[float, float]] = (-1.0, 1.0)

    def score(self, steps: Sequence[StepRecord]) -> list[StepReward]:
        """0 before the end, then in [0, 1] ∪ {−1}, for each record."""
        return [_holistic_reward(s) if s.ended else _format_part(s) for s in steps]


@dataclass(frozen=True, slots=True)
class OutcomeMode:
    """RLVR: 0 until the episode ends, then 1 if the verifier says it is right, else 0.

    Under continuation "expert" the expert's steps and the last action are judged together; where
    only the expert's are judged (``StepRecord.judged``), the reward is 0, without an "outcome".
    """

    name: str = "rlvr"
    default_continuation: Continuation = "policy"
    default_granularity: Granularity = "step"
    needs_expert: bool = False
    reward_range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def score(self, steps: Sequence[StepRecord]) -> list[StepReward]:
        """0 or 1 for each record."""
        return [_outcome_reward(s) if s.ended else _format_part(s) for s in steps]


@dataclass(frozen=True, slots=True)
class ScoreMode:
    """The verifier's score at episode end, for verifiers that give part marks; 0 before.

    The score is what the verdict's details have as "score"; without one it is the reward of rlvr.
    """

    name: str = "score"
    default_continuation: Continuation = "policy"
    default_granularity: Granularity = "step"
    needs_expert: bool = False

    def score(self, steps: Sequence[StepRecord]) -> list[StepReward]:
        """The score for each record that ends its episode, else 0."""
        return [_score_reward(s) if s.ended else _format_part(s) for s in steps]


@dataclass(frozen=True, slots=True)
class HybridMode:
    """``similarity`` × the reward of srl + ``outcome`` × the reward of rlvr, step by step.

    The similarity is paid on every step and the outcome once, so over an episode of N
    steps the similarities weigh N times as much as the two numbers suggest.
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
        ends = [
            (self.similarity * near, self.outcome * right) for near in (-1, 1) for right in (0, 1)
        ]
        sums = [math.fsum(pair) for pair in ends]
        return min(sums), max(sums)

    def score(self, steps: Sequence[StepRecord]) -> list[StepReward]:
        """The weighted sum for each record, with the parts of both."""
        pairs = zip(SimilarityMode().score(steps), OutcomeMode().score(steps), strict=True)
        return [
            StepReward(
                self.similarity * near.value + self.outcome * right.value,
                {**near.parts, **right.parts},
            )
            for near, right in pairs
        ]


@dataclass(frozen=True, slots=True)
class RandomMode:
    """Control: 1 with probability ``p`` at episode end, whatever was done; 0 before.

    Each copy of a start draws a number of its own, also where two write the same.
    Source of the control: Spurious rewards, arXiv:2506.10947.
    """

    p: float = 0.5
    name: str = "random"
    default_continuation: Continuation = "policy"
    default_granularity: Granularity = "step"
    needs_expert: bool = False
    reward_range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def __post_init__(self) -> None:
        if not 0.0 <= self.p <= 1.0:
            raise BadOption(f"p is a probability, between 0 and 1; got {self.p!r}")

    def score(self, steps: Sequence[StepRecord]) -> list[StepReward]:
        """0 or 1 for each record; draws one number from each ended record's own stream."""
        return [self._draw(s) if s.ended else _format_part(s) for s in steps]

    def _draw(self, step: StepRecord) -> StepReward:
        assert step.rng is not None, "the environment gives each ending record its stream"
        value = float(step.rng.random() < self.p)
        return StepReward(value, {"random": value, "format": float(step.parsed.ok)})


@dataclass(frozen=True, slots=True)
class InverseMode:
    """Control: rlvr turned round, 1 at episode end for a wrong answer; 0 before."""

    name: str = "inverse"
    default_continuation: Continuation = "policy"
    default_granularity: Granularity = "step"
    needs_expert: bool = False
    reward_range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def score(self, steps: Sequence[StepRecord]) -> list[StepReward]:
        """0 or 1 for each record; the part "outcome" stays the true one."""
        rewards = OutcomeMode().score(steps)
        return [
            StepReward(1.0 - r.value, r.parts) if s.verdict is not None else r
            for s, r in zip(steps, rewards, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class FormatMode:
    """Control: 1 at episode end if every step kept the format, else 0; 0 before."""

    name: str = "format"
    default_continuation: Continuation = "policy"
    default_granularity: Granularity = "step"
    needs_expert: bool = False
    reward_range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def score(self, steps: Sequence[StepRecord]) -> list[StepReward]:
        """0 or 1 for each record."""
        return [
            StepReward(float(s.ended and s.format_ok_so_far), {"format": float(s.parsed.ok)})
            for s in steps
        ]


def _step_reward(step: StepRecord) -> StepReward:
    compare = step.similarity if step.granularity == "step" else step_similarity
    return _similarity_reward(step.parsed.ok, step.parsed.action, step.expert_action, compare)


def _similarity_reward(
    parsed_ok: bool, action: str, expert: str | None, compare: Similarity = step_similarity
) -> StepReward:
    """−1 on format failure, 0 beyond the expert's end, else the similarity."""
    if not parsed_ok:
        return StepReward(-1.0, {"format": 0.0})
    value = 0.0 if expert is None else compare(action, expert)
    if not isinstance(value, float | int | np.floating):
        raise BadOption(
            f"the similarity {getattr(compare, '__qualname__', compare)!r} returned "
            f"{type(value).__name__} {value!r:.60}; it returns a number from 0 to 1"
        )
    return StepReward(value, {"similarity": value, "format": 1.0})


def _holistic_reward(step: StepRecord) -> StepReward:
    if step.granularity == "solution":
        return _similarity_reward(step.format_ok_so_far, step.parsed.action, step.expert_action)
    own = "\n".join((*step.actions[step.start_step :], step.parsed.action))
    expert = "\n".join(step.expert_actions[step.start_step :])
    return _similarity_reward(step.format_ok_so_far, own, expert)


def _outcome_reward(step: StepRecord) -> StepReward:
    if step.verdict is None:
        return _format_part(step)
    value = float(step.verdict.correct)
    return StepReward(value, {"outcome": value, "format": float(step.parsed.ok)})


def _score_reward(step: StepRecord) -> StepReward:
    outcome = _outcome_reward(step)
    if step.verdict is None:
        return outcome
    value = float(step.verdict.details.get("score", outcome.value))
    return StepReward(value, {**outcome.parts, "score": value})


def _format_part(step: StepRecord) -> StepReward:
    """Nothing paid yet."""
    return StepReward(0.0, {"format": float(step.parsed.ok)})


for _mode in (
    SimilarityMode(),
    OutcomeMode(),
    ScoreMode(),
    HybridMode(),
    HolisticMode(),
    RandomMode(),
    InverseMode(),
    FormatMode(),
):
    register_reward_mode(_mode)
