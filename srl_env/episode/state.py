"""An episode's state, and what a reset and a step return."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeAlias

from srl_env.episode.options import read_mode
from srl_env.problem import ExpertStep, Problem
from srl_env.rewards.record import Continuation, Granularity
from srl_env.rewards.registry import RewardMode, get_reward_mode, reward_modes
from srl_env.text.format import ParsedStep
from srl_env.text.prompt import Opening, Turn

ResetResult: TypeAlias = tuple[str, dict[str, Any]]


StepResult: TypeAlias = tuple[str, float, bool, bool, dict[str, Any]]


@dataclass(slots=True)
class EpisodeState:
    """All that changes in an episode, the world apart. Everything in it is immutable.

    steps: the expert's steps, () without an expert; expert_actions: their actions. opening:
    what its prompts begin with. history: the turns so far, the expert prefix included. index:
    how many steps of the solution are done. copy: the episode's number among those that began
    alike. world_live: whether the world was set up for this episode; world_rng: the state of
    ``np_random`` when it was. open: whether a step may be taken.
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
    history: tuple[Turn, ...] = ()
    index: int = 0
    taken: int = 0
    format_ok: bool = True
    parsed: ParsedStep | None = None
    legal: bool | None = None
    open: bool = False

    def __getstate__(self) -> dict[str, Any]:
        """For pickle: a registered mode goes by its name, as its function may have no other."""
        state = {field.name: getattr(self, field.name) for field in fields(self)}
        if self.mode.name in reward_modes() and get_reward_mode(self.mode.name) is self.mode:
            state["mode"] = self.mode.name
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, read_mode(value) if name == "mode" else value)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An environment's state between two steps; picklable where the world's state is."""

    environment: str
    seed: int
    episode: int
    state: EpisodeState = field(repr=False)
    rng: Mapping[str, Any] = field(repr=False)
    world: Any = field(repr=False)
