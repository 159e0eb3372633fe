"""What a reward looks at after a step, and what it gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from srl_env.problem import Problem
from srl_env.rewards.similarity import step_similarity
from srl_env.verifiers.protocol import Verdict

if TYPE_CHECKING:
    from srl_env.text.format import ParsedStep


Continuation = Literal["expert", "policy"]


Granularity = Literal["step", "solution"]


Similarity = Callable[[str, str], float]


@dataclass(frozen=True, slots=True)
class StepRecord:
    """Everything a reward may look at after one step.

    completion: what the policy wrote; parsed: the same, read by the completion format.
    index: the step's number in the whole solution; start_step: how many expert steps
    the episode began with.
    expert_action: what the expert wrote here (the joined rest for granularity
    "solution"); None beyond the expert's end or without an expert.
    expert_actions: the expert's whole trajectory, () without an expert.
    actions: the history before this action, the expert prefix included.
    legal: what the environment's step checker said, None where it has none.
    verdict: on the step that ends the episode, on the history and this action; None before, and
    where ``judged`` is False. Under continuation "expert" the history is the expert's.
    judged: False where the verdict would be on a world that the expert has moved, to which this
    action has added nothing.
    rng: the episode's own stream for random rewards, a new one for each copy of a start; None
    before the episode's end.
    format_ok_so_far: whether every step of the episode, this one included, kept the format.
    similarity: how the environment compares an action with the expert's, in [0, 1].
    """

    problem: Problem
    completion: str
    parsed: ParsedStep
    index: int
    start_step: int
    expert_action: str | None
    expert_actions: tuple[str, ...]
    actions: tuple[str, ...]
    granularity: Granularity
    continuation: Continuation
    terminated: bool
    truncated: bool
    legal: bool | None
    verdict: Verdict | None
    rng: np.random.Generator | None
    format_ok_so_far: bool
    similarity: Similarity = step_similarity
    judged: bool = True

    @property
    def own(self) -> bool:
        """Whether what is judged at the end is the policy's own, after the steps it was given.

        Under continuation "expert" it is where the only action ends the solution.
        """
        return self.continuation == "policy" or (
            self.judged and self.terminated and self.index == self.start_step
        )

    @property
    def to_judge(self) -> bool:
        """Whether a verdict is needed and not there yet."""
        return self.ended and self.judged and self.verdict is None

    @property
    def ended(self) -> bool:
        """Whether this step ended its episode."""
        return self.terminated or self.truncated

    @property
    def judged_actions(self) -> tuple[str, ...]:
        """What is judged: the history, in which the expert's steps may stand, and the action."""
        return (*self.actions, self.parsed.action)


@dataclass(frozen=True, slots=True)
class StepReward:
    """A reward and what it is made of; ``parts`` are for logs and are averaged there.

    Common parts: "format" (1.0 where the format was kept, else 0.0), "similarity" (in
    [0, 1], absent where none was measured), "outcome" (1.0 or 0.0, at episode end only).
    """

    value: float
    parts: Mapping[str, float]
