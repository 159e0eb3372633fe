"""What runs in a Ray worker process: environments, verifiers, sandboxes and a policy.

The worker imports it. The module itself loads neither Ray nor torch nor a model.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Sequence
from typing import Any

from srl_agents.collection.runners import Job, Result, run_job
from srl_env.policy import Policy
from srl_env.rollout import EnvPools

Parts = tuple[EnvPools, Policy]


class RolloutActor:
    """Runs one job at a time, always with the weights that come with it."""

    def __init__(self, make: Callable[[], Parts], folder: str) -> None:
        """make: makes environments and policy. folder: paths are relative to it, if it exists."""
        self._make, self._folder = make, folder
        self._parts: Parts | None = None
        self._version = 0

    def start(self) -> str:
        """Makes environments and policy; returns this process's name for messages."""
        if os.path.isdir(self._folder):
            os.chdir(self._folder)
        self._parts = self._make()
        return f"process {os.getpid()}"

    def run(self, job: Job, version: int, weights: Sequence[Any]) -> Result:
        """The job's episodes, sampled with the weights of that version.

        weights: a reference to an object in the store, which is read if the version is new; empty
        if the policy has its own weights. The policy then needs ``load_weights((name, tensor)…)``.
        """
        assert self._parts is not None, "started before it runs a job"
        assert version >= self._version, f"weights {version} are older than {self._version}"
        pool, policy = self._parts
        if version > self._version:
            self._load(policy, weights[0])
            self._version = version
        return run_job(job, pool, policy)

    def _load(self, policy: Any, reference: Any) -> None:
        from srl_agents.collection.ray.packed_weights import unpacked

        policy.load_weights(unpacked(importlib.import_module("ray").get(reference)))
