"""The input of a reward mode after a step, and its output; and what a step measure is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from srl_env.problem import Problem
from srl_env.rewards.similarity import step_similarity
from srl_env.verifiers.protocol import Verdict

if TYPE_CHECKING:
    from srl_env.text.format import ParsedStep


Continuation = Literal["expert", "policy"]
Granularity = Literal["step", "solution"]
Measure: TypeAlias = "Callable[[str, StepRecord], float]"
"""How good a step is: a function of the action and its context; see ``srl_env.rewards.measures``.
"""
FindMeasure: TypeAlias = "Callable[[str | Measure], Measure]"


@dataclass(frozen=True, slots=True)
class TextMeasure:
    """A measure that compares the action with the expert's as two texts.

    text: (action, expert action) → a number, usually in [0, 1]. It also compares whole solutions;
    other measures leave those to "characters".
    """

    text: Callable[[str, str], float]

    def __call__(self, action: str, context: StepRecord) -> float:
        """How similar the action is to the expert's at this step."""
        return self.text(action, context.expert_action or "")


# Not frozen: one is made at every step, and a frozen one takes three times as long to make.
@dataclass(slots=True)
class StepRecord:
    """Everything that a reward may use after one step. Reward modes must not change it.

    - completion: what the policy wrote. parsed: the same, read by the completion format.
    - index: the step's number in the whole solution. start_step: how many expert steps were given.
    - expert_action: the expert's action at this step (the joined rest for granularity "solution");
      None after the expert's last step and without an expert.
    - expert_actions: the expert's whole trajectory, () without an expert.
    - actions: the history before this action, the expert prefix included.
    - legal: the answer of the environment's step checker, None without one.
    - verdict: on the history and this action, at the step that ends the episode; None before, and
      if ``judged`` is False. Under continuation "expert" the history is the expert's.
    - find_measure: the environment's measures by name.
    - judged: False at the end of an episode whose verdict is not made: it would be on a world that
      only the expert has moved, or on the expert's steps with a mode that never reads it.
    - rng: the episode's stream for random rewards, a new one for each copy of a start; None before
      the episode's end.
    - format_ok_so_far: whether every step of the episode, this one included, kept the format.
    - measure: how good an action is as this step; see ``srl_env.rewards.measures``.
    - world_reward: the world's own reward for this step, None if it has none.
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
    measure: Measure = TextMeasure(step_similarity)
    judged: bool = True
    find_measure: FindMeasure | None = field(default=None, repr=False, compare=False)
    world_reward: float | None = None

    @property
    def own(self) -> bool:
        """Whether the verdict is on the policy's own actions after the given steps.

        Under continuation "expert" this holds if the only action ends the solution.
        """
        return self.continuation == "policy" or (
            self.judged and self.terminated and self.index == self.start_step
        )

    @property
    def to_judge(self) -> bool:
        """Whether a verdict is needed and missing."""
        return self.ended and self.judged and self.verdict is None

    @property
    def ended(self) -> bool:
        """Whether this step ended its episode."""
        return self.terminated or self.truncated

    @property
    def judged_actions(self) -> tuple[str, ...]:
        """What is judged: the history, expert steps included, and the action."""
        return (*self.actions, self.parsed.action)


@dataclass(frozen=True, slots=True)
class StepReward:
    """A reward and its parts, which are averaged in logs.

    Common parts: "format" (1.0 if the format was kept, else 0.0), "similarity" (in [0, 1], absent
    if not measured), "outcome" (1.0 or 0.0, only at the episode's end).
    """

    value: float
    parts: Mapping[str, float]
