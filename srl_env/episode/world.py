"""How a world moves: within its time limit, and tried a second time after a failure."""

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
from srl_env.verifiers.responsibility import PolicyFault, fault_verdict, tried_twice

T = TypeVar("T")


class WorldEnv(Protocol):
    """The part of ``ReasoningEnv`` that this module needs."""

    world_timeout_s: float | None

    @property
    def np_random(self) -> np.random.Generator: ...
    def world_reset(self, problem: Problem) -> None: ...
    def world_step(self, action: str) -> str | None: ...
    def world_replay(self, actions: Sequence[str]) -> Sequence[str | None]: ...
    def is_final(self, action: str) -> bool: ...


def move(env: WorldEnv, state: EpisodeState, own: str) -> tuple[bool, Verdict | None]:
    """Takes the step; own: the policy's action.

    Returns whether the episode terminates with it, and the verdict if the policy is responsible for
    a failure of the world.
    """
    state.taken += 1
    whole = state.granularity == "solution"
    if state.continuation == "expert":
        end = len(state.steps) if whole else state.index + 1
        state.history, state.index = state.history + expert_turns(env, state, end), end
        return end >= len(state.steps), None
    answered, fault = answer(env, state, own) if state.world_live else (None, None)
    turn = Turn(own, read_answer(env, answered))
    state.history, state.index = (*state.history, turn), state.index + 1
    return whole or fault is not None or bool(env.is_final(own)), fault


def expert_turns(env: WorldEnv, state: EpisodeState, end: int) -> tuple[Turn, ...]:
    """The expert's steps from the current one up to ``end``, with the world's answers."""
    steps = state.steps[state.index : end]
    observed: Sequence[str | None]
    if not state.world_live:
        return tuple([Turn(utf8_safe(s.action), read_answer(env, s.observation)) for s in steps])
    if state.index == state.taken == 0:
        actions = [step.action for step in steps]
        observed = _timed(env, partial(env.world_replay, actions), max(1, len(actions)))
    else:
        observed = [_world_step(env, step.action) for step in steps]
    return tuple(
        Turn(utf8_safe(step.action), read_answer(env, answer))
        for step, answer in zip(steps, observed, strict=True)
    )


def answer(env: WorldEnv, state: EpisodeState, own: str) -> tuple[str | None, Verdict | None]:
    """The world's answer to the policy's action, or the verdict on a policy that is responsible
    for its failure.

    The second attempt repeats the episode from its beginning. The control takes the expert's steps,
    or without an expert the steps before.
    """
    before = [turn.action for turn in state.history]
    reference = state.expert_actions[: len(before) + 1] or before
    try:
        answered = tried_twice(
            partial(_world_step, env, own),
            partial(_last_answer, env, state, reference),
            again=partial(_last_answer, env, state, [*before, own]),
            kinds=(WorldFailure,),
        )
    except PolicyFault as fault:
        return None, fault_verdict(str(fault))
    return answered, None


def _last_answer(env: WorldEnv, state: EpisodeState, actions: Sequence[str]) -> str | None:
    """The world's answer to the last of an episode's actions, from its beginning on."""
    env.np_random.bit_generator.state = dict(state.world_rng)
    env.world_reset(state.problem)
    given = actions[: state.start_step]
    if given:
        _timed(env, partial(env.world_replay, given), len(given))
    answers = [_world_step(env, action) for action in actions[state.start_step :]]
    return answers[-1] if answers else None


def _world_step(env: WorldEnv, action: str) -> str | None:
    return _timed(env, partial(env.world_step, action))


def _timed(env: WorldEnv, call: Callable[[], T], steps: int = 1) -> T:
    """A call of the world, which may take ``world_timeout_s`` for each of its steps."""
    if env.world_timeout_s is None:
        return call()
    limit = env.world_timeout_s * steps
    try:
        return run_within(call, limit)
    except OutOfTime as error:
        raise WorldTimeout(f"the world had no answer within {limit:g} s") from error
