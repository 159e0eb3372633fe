"""What runs in a Ray worker process: environments, verifiers, sandboxes and a policy of its own.

It is imported there, and holds nothing that needs Ray's driver, a model or torch by itself.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from srl_agents.collection.runners import Job, Result, run_job
from srl_env.policy import Policy
from srl_env.rollout import EnvPool

Parts = tuple[EnvPool, Policy]


class Borrower(Protocol):
    """A policy that samples with the weights of another process's model."""

    def load_weights(self, weights: Any) -> None:
        """Takes (name, tensor) pairs."""
        ...


class RolloutActor:
    """Runs one job at a time, always with the weights that come with it."""

    def __init__(self, make: Callable[[], Parts], folder: str) -> None:
        """make: environments and policy. folder: what paths are relative to, where it exists."""
        self._make, self._folder = make, folder
        self._parts: Parts | None = None
        self._version = 0

    def start(self) -> str:
        """Makes environments and policy; returns where this is, for messages."""
        if os.path.isdir(self._folder):
            os.chdir(self._folder)
        self._parts = self._make()
        return f"process {os.getpid()}"

    def run(self, job: Job, version: int, weights: Sequence[Any]) -> Result:
        """The job's episodes, sampled with the weights of that version.

        weights: one reference to an object in the store, which is read where the version is a new
        one; none where the policy has weights of its own alone.
        """
        assert self._parts is not None, "started before it is given work"
        assert version >= self._version, f"weights {version} are older than {self._version}"
        pool, policy = self._parts
        if version > self._version:
            self._load(policy, weights[0])
            self._version = version
        return run_job(job, pool, policy)

    def _load(self, policy: Any, reference: Any) -> None:
        from srl_agents.collection.ray.packed_weights import unpacked

        borrower: Borrower = policy
        borrower.load_weights(unpacked(importlib.import_module("ray").get(reference)))
