"""Runners in this process: a thread with its own environments, and a copy of the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from srl_agents.collection.runners import Job, Result, run_job
from srl_agents.collection.stream import NotWanted
from srl_agents.collection.versioned import Versioned, Weights
from srl_env.errors import Failure
from srl_env.policy import Generation, Sampling
from srl_env.rollout import EnvPools
from srl_env.text.prompt import Messages


class LocalRunner:
    """Runs jobs in the thread that calls it. Several may share a policy, but not environments."""

    def __init__(self, name: str, pools: EnvPools, policy: Versioned) -> None:
        self.name, self._pools, self._policy = name, pools, policy

    def offer(self, weights: Weights) -> None:
        """Notes the weights to sample with next."""
        self._policy.offer(weights)

    def run(self, job: Job, wanted: Callable[[], bool]) -> Result:
        """The job's episodes."""
        with self._policy.job():
            return run_job(job, self._pools, _Stoppable(self._policy, wanted))

    def recover(self, wanted: Callable[[], bool]) -> None:
        """Nothing: this process has no part that is lost alone."""

    def close(self) -> None:
        """Closes the environments and the policy."""
        pools = self._pools.values() if isinstance(self._pools, Mapping) else [self._pools]
        for pool in pools:
            pool.close()
        self._policy.close()


class _Stoppable:
    """A policy that stops an episode that nobody wants any more."""

    def __init__(self, policy: Versioned, wanted: Callable[[], bool]) -> None:
        self._policy, self._wanted = policy, wanted
        self.native_tools = policy.native_tools

    def generate(self, batch: Sequence[Messages], sampling: Sampling) -> list[Generation | Failure]:
        if not self._wanted():
            raise NotWanted
        return self._policy.generate(batch, sampling)
