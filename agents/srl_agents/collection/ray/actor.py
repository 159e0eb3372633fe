"""What runs in a Ray worker process: environments, verifiers, sandboxes and a policy.

The worker imports it. The module itself loads neither Ray nor torch nor a model.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from srl_agents.collection.runners import Job, Result, run_job
from srl_agents.collection.versioned import Versioned, Weights
from srl_env.policy import Policy
from srl_env.rollout import EnvPools

Parts = tuple[EnvPools, Policy]


class RolloutActor:
    """Runs one job at a time, with the last weights that it was offered."""

    def __init__(
        self, make: Callable[[], Parts], folder: str, ahead: bool = False, continues: bool = False
    ) -> None:
        """make: makes environments and policy. folder: paths are relative to it, if it exists.

        ahead: whether weights arrive while a job runs, and completions carry their version.
        continues: as of ``Versioned``. The policy then needs ``load_weights((name, tensor)…)``.
        """
        self._make, self._folder = make, folder
        self._ahead, self._continues = ahead, continues
        self._turn, self._noting, self._offered = threading.Lock(), threading.Lock(), -1

    def start(self) -> str:
        """Makes environments and policy; returns this process's name for messages."""
        if os.path.isdir(self._folder):
            os.chdir(self._folder)
        self._pools, policy = self._make()
        self._policy = Versioned(policy, self._continues)
        return f"process {os.getpid()}"

    def offer(self, weights: Weights) -> None:
        """Notes the weights to sample with next; calls may arrive in another order."""
        with self._noting:
            if weights.version > self._offered:
                self._offered = weights.version
                self._policy.offer(weights)

    def run(self, job: Job, weights: Weights | None = None) -> Result:
        """The job's episodes, with these weights or newer ones; None if none were offered."""
        if weights is not None:
            self.offer(weights)
        with self._turn, self._policy.job():
            policy = self._policy if self._ahead else self._policy.policy
            return run_job(job, self._pools, policy)
