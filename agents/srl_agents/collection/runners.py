"""What runs episodes: jobs, in this process or by workers elsewhere.

A job with a seed gives the same episodes wherever it runs: the seed is set on the policy's
generator, and nothing computed for another job is reused. ``collection.stream`` runs jobs on
workers.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from srl_env.errors import Failure, SrlEnvError
from srl_env.policy import Generation, Policy, Sampling
from srl_env.rollout import EnvPools, Episode, Start, rollout
from srl_env.text.prompt import Messages


class WorkerLost(Failure):
    """The workers that ran an episode died or hung, on every try."""


class NoWorkersLeft(SrlEnvError, RuntimeError):
    """No worker starts any more, or none has finished a job; fix the cause and resume."""


@dataclass(frozen=True, slots=True)
class Job:
    """Episodes that run together. seed: for sampling; None continues the policy's generator."""

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
    """What runs jobs."""

    @property
    def groups_per_job(self) -> int | None:
        """How many groups make a job; None for all groups in one job, without a seed."""
        ...

    def run(self, jobs: Sequence[Job]) -> list[Result]:
        """The episodes of each job, in order."""
        ...

    def metrics(self) -> dict[str, float]:
        """Numbers for the log since the last call."""
        ...

    def close(self) -> None:
        """Closes environments and workers."""
        ...


class LocalRollouts:
    """Runs jobs one after the other in this process."""

    def __init__(self, pool: EnvPools, policy: Policy, groups_per_job: int | None = None) -> None:
        self.pool, self.policy, self.groups_per_job = pool, policy, groups_per_job

    def run(self, jobs: Sequence[Job]) -> list[Result]:
        """The episodes of each job, in order."""
        return [run_job(job, self.pool, self.policy) for job in jobs]

    def metrics(self) -> dict[str, float]:
        """None: no worker can be lost."""
        return {}

    def close(self) -> None:
        """Closes the environments, not the policy."""
        for pool in self.pool.values() if isinstance(self.pool, Mapping) else [self.pool]:
            pool.close()


def run_job(job: Job, pool: EnvPools, policy: Policy) -> Result:
    """The job's episodes; raises what ``srl_env.rollout.rollout`` raises."""
    began, timed = time.perf_counter(), _Timed(policy)
    if job.seed is not None:
        _reset(policy, job.seed)
    episodes = rollout(pool, timed, job.starts, job.sampling)
    return Result(episodes, timed.seconds, time.perf_counter() - began - timed.seconds)


def _reset(policy: Any, seed: int) -> None:
    """Seeds the policy if it has a generator, and clears its cache of prompts.

    The last bits of a cached prompt depend on the batch in which it was computed.
    """
    if hasattr(policy, "generator"):
        policy.generator.manual_seed(seed)
    if hasattr(policy, "weights_changed"):
        policy.weights_changed()


class _Timed:
    """A policy that counts the seconds spent in it."""

    def __init__(self, policy: Policy) -> None:
        self.policy, self.seconds = policy, 0.0
        self.native_tools: bool = getattr(policy, "native_tools", False)

    def generate(
        self, batch: Sequence[Messages], sampling: Sampling
    ) -> Sequence[Generation | Failure]:
        """What the policy generates."""
        began = time.perf_counter()
        generations = self.policy.generate(batch, sampling)
        self.seconds += time.perf_counter() - began
        return generations
