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


def check_prefix(trial: Trial, problem_id: str) -> Iterator[Finding]:
    """Starting at a step is the same as getting there with the expert's steps."""
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
                continue  # the record answers the expert's steps, and nothing answers one's own
            if given is None or given[0] != replayed[0] or turns != env.history:
                yield Finding(
                    f"problem {problem_id!r} with start_step={start}, continuation "
                    f"{continuation!r}, shows another observation than replaying those steps",
                    "the same observation",
                    "make world_step() deterministic and the expert's actions survive "
                    "format.parse(format.render(step))",
                    trial.line_of("world_step"),
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
                yield Finding(
                    f"observations or infos differ between modes rlvr and {mode} on problem "
                    f"{problem_id!r}, continuation {continuation!r}",
                    "the same in every mode",
                    "let nothing but rewards depend on the reward mode",
                    trial.line_of("world_step"),
                )


def check_seeds(trial: Trial) -> Iterator[Finding]:
    """A seed repeats the whole episode, under either continuation."""
    for options in ({}, {"continuation": "policy"}):
        traces = []
        for _ in range(2):
            first = trial.env.reset(seed=_SEED, options=options)
            traces.append([first, *trial.probe_episode()])
        if repr(traces[0]) != repr(traces[1]):  # repr: NaN equals itself
            yield Finding(
                f"two episodes with seed {_SEED} and the same actions differ",
                "the same observations, rewards and infos",
                "draw random numbers from self.np_random only, and let no time, counter or "
                "leftover of an earlier episode decide; then check again",
                trial.line_of("world_step"),
            )
            return


def check_global_state(trial: Trial) -> Iterator[Finding]:
    """An episode leaves the global generators alone."""
    before = random.getstate(), repr(np.random.get_state())
    trial.env.reset(seed=_SEED)
    for _ in trial.probe_episode():
        pass
    if before != (random.getstate(), repr(np.random.get_state())):
        yield Finding(
            "an episode changed the global state of random or numpy.random",
            "global generators left alone",
            "draw random numbers from self.np_random only",
            trial.line_of("world_reset") or trial.line_of("world_step"),
        )


def check_snapshots(trial: Trial, problem_id: str) -> Iterator[Finding]:
    """A snapshot taken after a step goes on as the episode did, twice, also through pickle."""
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
        uninterrupted = list(trial.probe_episode())
        for saved in (snapshot, pickle.loads(pickle.dumps(snapshot)), snapshot):
            env.restore(saved)
            if repr(list(trial.probe_episode())) != repr(uninterrupted):
                yield Finding(
                    f"problem {problem_id!r}, continuation {continuation!r}, goes on differently "
                    "after restore() than the episode did",
                    "the same observations, rewards and infos",
                    "make world_state() return an independent copy of everything that changes, "
                    "and world_restore() copy it back",
                    trial.line_of("world_restore") or trial.line_of("world_state"),
                )


def _not_stored(trial: Trial, error: Exception) -> Finding:
    hooks = map(trial.line_of, ("world_state", "world_reset", "world_step"))
    return Finding(
        str(error) if isinstance(error, UserError) else f"the state of the world: {error}",
        "a state that can be copied and pickled, for forks and workers",
        "keep numbers, texts, lists and dicts in self.world, or override world_state() to return "
        "such data and world_restore() to rebuild the world from it",
        next(filter(None, hooks), None),
    )


def _without_reward(result: StepResult) -> tuple[Any, ...]:
    info = {k: v for k, v in result[4].items() if k not in ("reward_mode", "reward_parts")}
    return result[0], result[2], result[3], info
