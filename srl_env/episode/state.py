"""An episode's state, and the types that a reset and a step return."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from srl_env.errors import BadOption
from srl_env.problem import ExpertStep, Problem
from srl_env.rewards.record import Continuation, Granularity, Measure
from srl_env.rewards.registry import RewardMode
from srl_env.text.format import ParsedStep, ToolFormat
from srl_env.text.prompt import Message, Opening, PromptStyle, Turn, make_messages
from srl_env.text.unicode import utf8_safe

ResetResult: TypeAlias = tuple[str, dict[str, Any]]
StepResult: TypeAlias = tuple[str, float, bool, bool, dict[str, Any]]


@dataclass(slots=True)
class EpisodeState:
    """Everything that changes in an episode except the world. All values are immutable.

    steps: the expert's steps, () without an expert. opening: the start of its prompts. history: the
    turns so far, the expert prefix included. index: how many steps of the solution are done. copy:
    the episode's number among those that start alike.
    measure: of steps; None for the environment's.

    native: the format, if tools are native in this episode's messages.
    world_live: whether the world was set up for this episode. world_rng: the state of ``np_random``
    at that time. open: whether a step may be taken.
    """

    problem: Problem
    steps: tuple[ExpertStep, ...]
    expert_actions: tuple[str, ...]
    opening: Opening
    mode: RewardMode
    continuation: Continuation
    granularity: Granularity
    max_steps: int
    start_step: int
    world_live: bool
    world_rng: Mapping[str, Any] = field(default_factory=dict, repr=False)
    copy: int = 0
    measure: str | Measure | None = None
    history: tuple[Turn, ...] = ()
    index: int = 0
    taken: int = 0
    format_ok: bool = True
    parsed: ParsedStep | None = None
    legal: bool | None = None
    open: bool = False
    native: ToolFormat | None = None

    def messages(self, style: PromptStyle, show_titles: bool) -> list[Message]:
        """The prompt now; show_titles: with the title of the next step."""
        title = None
        if show_titles and self.granularity == "step" and self.index < len(self.steps):
            title = self.steps[self.index].title
        safe = None if title is None else utf8_safe(title)
        call_of = None if self.native is None else self.native.call_of
        return make_messages(style, self.opening, self.history, safe, call_of)

    def expert_action(self, join: str) -> str | None:
        """The expert's action at this step; None after its last step."""
        if self.index >= len(self.steps):
            return None
        if self.granularity == "step":
            return self.expert_actions[self.index]
        return join.join(self.expert_actions[self.index :])

    def expert_step(self, join: str) -> ExpertStep:
        """The expert's next step; for granularity "solution" all its remaining steps as one.

        Raises ``BadOption`` without an expert and after its last step.
        """
        if not self.steps:
            raise BadOption(
                f"problem {self.problem.id!r} has no expert. Fix: use another policy, or problems "
                "with expert trajectories"
            )
        if self.index >= len(self.steps):
            raise BadOption(
                f"the expert of problem {self.problem.id!r} has no step {self.index + 1}; "
                f"its solution has {len(self.steps)}"
            )
        if self.granularity == "step":
            return self.steps[self.index]
        rest = self.steps[self.index :]
        thoughts = [step.thought for step in rest if step.thought]
        action = join.join(self.expert_actions[self.index :])
        return ExpertStep(action, thought=join.join(thoughts) if thoughts else None)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An environment's state between two steps; picklable if the world's state is."""

    environment: str
    seed: int
    episode: int
    state: EpisodeState = field(repr=False)
    rng: Mapping[str, Any] = field(repr=False)
    world: Any = field(repr=False)
