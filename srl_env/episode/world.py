"""What a world answers: in time, and tried a second time where it fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol, TypeVar

import numpy as np

from srl_env.episode.guards import read_answer
from srl_env.episode.state import EpisodeState
from srl_env.errors import WorldFailure, WorldTimeout
from srl_env.problem import Problem
from srl_env.text.prompt import Turn
from srl_env.text.unicode import utf8_safe
from srl_env.time_limit import OutOfTime, run_within
from srl_env.verifiers.protocol import Verdict
from srl_env.verifiers.responsibility import failed_twice

T = TypeVar("T")


class Worldly(Protocol):
    """What is needed of an environment with a world: see ``ReasoningEnv``."""

    world_timeout_s: float | None

    @property
    def np_random(self) -> np.random.Generator: ...
    def world_reset(self, problem: Problem) -> None: ...
    def world_step(self, action: str) -> str | None: ...
    def world_replay(self, actions: Sequence[str]) -> Sequence[str | None]: ...
    def is_final(self, action: str) -> bool: ...


def move(env: Worldly, state: EpisodeState, said: str) -> tuple[bool, Verdict | None]:
    """Lets the step happen; returns whether the episode terminates with it, and the verdict
    where the policy is responsible for a failure of the world."""
    state.taken += 1
    whole = state.granularity == "solution"
    if state.continuation == "expert":
        end = len(state.steps) if whole else state.index + 1
        turns = expert_turns(env, state, end)
        state.history, state.index = state.history + turns, end
        return end >= len(state.steps), None
    answered, fault = None, None
    if state.world_live:
        answered, fault = answer(env, state, said)
    turn = Turn(said, read_answer(env, answered))
    state.history, state.index = (*state.history, turn), state.index + 1
    return whole or fault is not None or bool(env.is_final(said)), fault


def expert_turns(env: Worldly, state: EpisodeState, end: int) -> tuple[Turn, ...]:
    """The expert's steps from where the episode stands up to ``end``, as they happen."""
    steps = state.steps[state.index : end]
    observed: Sequence[str | None]
    if not state.world_live:
        observed = [step.observation for step in steps]
    elif state.index == state.taken == 0:
        actions = [step.action for step in steps]
        observed = _timed(env, partial(env.world_replay, actions), max(1, len(actions)))
    else:
        observed = [_world_step(env, step.action) for step in steps]
    return tuple(
        Turn(utf8_safe(step.action), read_answer(env, answer))
        for step, answer in zip(steps, observed, strict=True)
    )


def answer(env: Worldly, state: EpisodeState, said: str) -> tuple[str | None, Verdict | None]:
    """What the world answers to the policy's action, or the verdict on a policy that is
    responsible for its failure.

    Where the world fails, the episode is repeated from its beginning. The control is the
    expert's steps, or where there is no expert, the steps before.
    """
    try:
        return _world_step(env, said), None
    except WorldFailure:
        before = [turn.action for turn in state.history]
    expert = state.expert_actions[: len(before) + 1]
    try:
        return _last_answer(env, state, [*before, said]), None
    except WorldFailure as failure:
        control = partial(_last_answer, env, state, expert or before)
        return None, failed_twice(failure, control)


def _last_answer(env: Worldly, state: EpisodeState, actions: Sequence[str]) -> str | None:
    """What the world answers to the last of an episode's actions, from its beginning on."""
    env.np_random.bit_generator.state = dict(state.world_rng)
    env.world_reset(state.problem)
    given = actions[: state.start_step]
    if given:
        _timed(env, partial(env.world_replay, given), len(given))
    answers = [_world_step(env, action) for action in actions[state.start_step :]]
    return answers[-1] if answers else None


def _world_step(env: Worldly, action: str) -> str | None:
    return _timed(env, partial(env.world_step, action))


def _timed(env: Worldly, call: Callable[[], T], steps: int = 1) -> T:
    """A call of the world that may take ``world_timeout_s`` for each of its steps."""
    if env.world_timeout_s is None:
        return call()
    limit = env.world_timeout_s * steps
    try:
        return run_within(call, limit)
    except OutOfTime as error:
        raise WorldTimeout(f"the world had no answer within {limit:g} s") from error
