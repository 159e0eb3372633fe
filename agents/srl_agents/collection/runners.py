"""Who runs episodes: jobs of them, rolled out in this process or by workers elsewhere.

A ``Job`` is what is rolled out together. With a seed of its own it gives the same episodes
wherever and however often it is run: the seed is set on the policy's generator, and nothing that
was computed for another job is reused. ``srl_agents.collection.ray.workers`` has them run by Ray's
actors.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from srl_env.errors import Failure
from srl_env.policy import Generation, Policy, Sampling
from srl_env.rollout import EnvPool, Episode, Start, rollout
from srl_env.text.prompt import Messages


@dataclass(frozen=True, slots=True)
class Job:
    """Episodes that are rolled out together.

    seed: of what is sampled; None lets the policy draw on from where it is.
    """

    starts: tuple[Start, ...]
    sampling: Sampling
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """A job's episodes, in order, and the seconds spent in the policy and everywhere else."""

    episodes: list[Episode]
    seconds_sampling: float = 0.0
    seconds_environment: float = 0.0


class Rollouts(Protocol):
    """What runs jobs of episodes."""

    @property
    def groups_per_job(self) -> int | None:
        """How many groups make a job; None for as many as there are, without seeds."""
        ...

    def run(self, jobs: Sequence[Job]) -> list[Result]:
        """The episodes of each job, in order."""
        ...

    def metrics(self) -> dict[str, float]:
        """Numbers for the log, of what happened since they were last asked for."""
        ...

    def close(self) -> None:
        """Closes environments and whatever else stands behind it."""
        ...


class LocalRollouts:
    """Units rolled out one after the other in this process."""

    def __init__(self, pool: EnvPool, policy: Policy, groups_per_job: int | None = None) -> None:
        self.pool, self.policy, self.groups_per_job = pool, policy, groups_per_job

    def run(self, jobs: Sequence[Job]) -> list[Result]:
        """The episodes of each job, in order."""
        return [run_job(job, self.pool, self.policy) for job in jobs]

    def metrics(self) -> dict[str, float]:
        """None: nothing can get lost here."""
        return {}

    def close(self) -> None:
        """Closes the environments; the policy is the caller's."""
        self.pool.close()


def run_job(job: Job, pool: EnvPool, policy: Policy) -> Result:
    """The job's episodes; see ``srl_env.rollout.rollout`` for what is raised."""
    began, timed = time.perf_counter(), _Timed(policy)
    if job.seed is not None:
        _begin_anew(policy, job.seed)
    episodes = rollout(pool, timed, job.starts, job.sampling)
    return Result(episodes, timed.seconds, time.perf_counter() - began - timed.seconds)


def _begin_anew(policy: Any, seed: int) -> None:
    """Seeds the policy, where it can be seeded, and has it forget what earlier prompts left.

    What is reused of earlier prompts has the last bits that it had in their batches.
    """
    if hasattr(policy, "generator"):
        policy.generator.manual_seed(seed)
    if hasattr(policy, "weights_changed"):
        policy.weights_changed()


class _Timed:
    """A policy that adds up the seconds spent in it."""

    def __init__(self, policy: Policy) -> None:
        self.policy, self.seconds = policy, 0.0

    def generate(
        self, batch: Sequence[Messages], sampling: Sampling
    ) -> Sequence[Generation | Failure]:
        """What the policy generates."""
        began = time.perf_counter()
        generations = self.policy.generate(batch, sampling)
        self.seconds += time.perf_counter() - began
        return generations
