"""What must come out the same again: prefixes, modes, seeds, snapshots."""

from __future__ import annotations

import pickle
import random
from collections.abc import Iterator
from typing import Any

import numpy as np

from srl_env.check.report import Finding
from srl_env.check.trial import Trial
from srl_env.episode.state import StepResult
from srl_env.errors import UserError

_SEED = 12345
_SAME = "the same observations, rewards and infos"
_OWN_RANDOM = "draw random numbers from self.np_random only"


def check_prefix(trial: Trial, problem_id: str) -> Iterator[Finding]:
    """Starting at a step equals getting there with the expert's steps."""
    if not trial.begin(problem_id, "srl", "expert"):
        return
    env, steps = trial.env, len(trial.env.expert_steps)
    for continuation in ("expert", "policy"):
        for start in sorted({1, steps // 2, steps - 1} & set(range(1, steps))):
            given = trial.begin(problem_id, "srl", continuation, start_step=start)
            turns = env.history
            replayed: Any = trial.begin(problem_id, "srl", continuation)
            for _ in range(start):
                replayed = env.step(env.expert_completion())
            if continuation == "policy" and not env.has_world and any(t.observation for t in turns):
                continue  # the record answers the expert's steps, but nothing answers other steps
            if given is None or given[0] != replayed[0] or turns != env.history:
                yield trial.finding(
                    f"problem {problem_id!r} with start_step={start}, continuation "
                    f"{continuation!r}, shows another observation than replaying those steps",
                    "the same observation",
                    "make world_step() deterministic, and let the expert's actions survive "
                    "format.parse(format.render(step))",
                    "world_step",
                )


def check_modes(trial: Trial, problem_id: str) -> Iterator[Finding]:
    """The same actions show the same in every reward mode."""
    for continuation in ("expert", "policy"):
        seen: dict[str, Any] = {}
        for mode in trial.modes():
            if trial.begin(problem_id, mode, continuation, granularity="step"):
                seen[mode] = [_without_reward(result) for result in trial.probe_episode()]
        for mode, trace in seen.items():
            if trace != seen["rlvr"]:
                yield trial.finding(
                    f"observations or infos differ between modes rlvr and {mode} on problem "
                    f"{problem_id!r}, continuation {continuation!r}",
                    "the same in every mode",
                    "let only rewards depend on the reward mode",
                    "world_step",
                )


def _without_reward(result: StepResult) -> tuple[Any, ...]:
    info = {k: v for k, v in result[4].items() if k not in ("reward_mode", "reward_parts")}
    return result[0], result[2], result[3], info


def check_seeds(trial: Trial) -> Iterator[Finding]:
    """A seed repeats the whole episode, under either continuation."""
    for options in ({}, {"continuation": "policy"}):
        traces = [
            repr([trial.env.reset(seed=_SEED, options=options), *trial.probe_episode()])
            for _ in range(2)
        ]
        if traces[0] != traces[1]:  # as text, in which NaN equals itself
            yield trial.finding(
                f"two episodes with seed {_SEED} and the same actions differ",
                _SAME,
                f"{_OWN_RANDOM}, and let no time, counter or leftover of an earlier episode "
                "decide; then check again",
                "world_step",
            )
            return


def check_global_state(trial: Trial) -> Iterator[Finding]:
    """An episode leaves the global generators alone."""
    before = random.getstate(), repr(np.random.get_state())
    trial.env.reset(seed=_SEED)
    list(trial.probe_episode())
    if before != (random.getstate(), repr(np.random.get_state())):
        seen = "an episode changed the global state of random or numpy.random"
        expected = "unchanged global generators"
        yield trial.finding(seen, expected, _OWN_RANDOM, "world_reset", "world_step")


def check_snapshots(trial: Trial, problem_id: str) -> Iterator[Finding]:
    """A snapshot continues as the episode did, twice, also through pickle."""
    env = trial.env
    for continuation in ("expert", "policy"):
        if not trial.begin(problem_id, "srl", continuation):
            return
        env.step(env.expert_completion())
        if len(env.expert_steps) < 2:
            continue
        try:
            snapshot = env.snapshot()
            pickle.dumps(snapshot.world)
        except Exception as error:  # noqa: BLE001  # the boundary to the author's objects
            yield _not_stored(trial, error)
            return
        uninterrupted = repr(list(trial.probe_episode()))
        for stored in (snapshot, pickle.loads(pickle.dumps(snapshot)), snapshot):
            env.restore(stored)
            if repr(list(trial.probe_episode())) != uninterrupted:
                yield trial.finding(
                    f"problem {problem_id!r}, continuation {continuation!r}, continues differently "
                    "after restore()",
                    _SAME,
                    "make world_state() return an independent copy of everything that changes, "
                    "and world_restore() copy it back",
                    "world_restore",
                    "world_state",
                )


def _not_stored(trial: Trial, error: Exception) -> Finding:
    return trial.finding(
        str(error) if isinstance(error, UserError) else f"the state of the world: {error}",
        "a state that can be copied and pickled, for forks and workers",
        "keep numbers, texts, lists and dicts in self.world, or override world_state() to return "
        "such data and world_restore() to rebuild the world from it",
        "world_state",
        "world_reset",
        "world_step",
    )
