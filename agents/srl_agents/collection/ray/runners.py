"""Rollouts on Ray: worker processes, here or on other machines, that run the jobs of a stream.

Each worker is an actor with its own environments (worlds, sandboxes and verifiers included) and its
own policy. It has one job at a time and gets the next after its episodes have arrived, so neither
work nor results pile up. Weights go into Ray's object store once per update; actors receive a
reference to them and their version.

A worker may die, alone or with its machine, or miss its deadline. A new actor then replaces it, and
the stream runs its job again. A job has its own seeds, so its episodes do not depend on the worker.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from srl_agents.collection.environments import Environments
from srl_agents.collection.ray.actor import Parts, RolloutActor
from srl_agents.collection.ray.cluster import (
    STORE_BYTES,
    check_address,
    check_size,
    connect,
    first_line,
    import_ray,
    store_bytes,
)
from srl_agents.collection.ray.packed_weights import handed_out
from srl_agents.collection.runners import Job, Result, WorkerLost
from srl_agents.collection.stream import JobStream, NotWanted
from srl_agents.collection.versioned import Weights
from srl_agents.models.loading import without_notices
from srl_agents.parallel.team import Team
from srl_agents.policies.loading import load_worker, worker_weights
from srl_agents.policies.transformers import TransformersPolicy
from srl_agents.runs.config import RolloutConfig, RunConfig
from srl_env.environment import ReasoningEnv
from srl_env.errors import UserError

if TYPE_CHECKING:
    from srl_agents.collection.versioned import Offered

_LOOK_S = 0.5  # between two looks at whether a job is still wanted


class RayRunner:
    """Runs jobs in an actor, which ``recover`` starts and replaces."""

    def __init__(self, ray: Any, make_actor: Callable[[], Any], deadline_s: float) -> None:
        """make_actor: a new actor, of ``RolloutActor``. deadline_s: of its start, and of a job."""
        self.name = "a worker"
        self._ray, self._make_actor, self._deadline_s = ray, make_actor, deadline_s
        self._weights: Weights | None = None
        self._actor: Any = None
        self._started = False

    def offer(self, weights: Weights) -> None:
        """Sends the weights, which may arrive while a job runs; the next job brings them too."""
        self._weights = weights
        if self._started:
            self._actor.offer.remote(weights)

    def run(self, job: Job, wanted: Callable[[], bool]) -> Result:
        """The job's episodes. Raises WorkerLost, and the UserError of a worker."""
        result: Result = self._get(self._actor.run.remote(job, self._weights), wanted)
        return result

    def recover(self, wanted: Callable[[], bool]) -> None:
        """Replaces the actor. Raises WorkerLost, and the UserError of what it makes."""
        self.close()
        self.name, self._actor = "a worker that starts", self._make_actor()
        self.name = f"a worker ({self._get(self._actor.start.remote(), wanted)})"
        self._started = True

    def close(self) -> None:
        """Ends the actor."""
        if self._actor is not None:
            self._ray.kill(self._actor, no_restart=True)
        self._actor, self._started = None, False

    def _get(self, call: Any, wanted: Callable[[], bool]) -> Any:
        due = time.monotonic() + self._deadline_s
        while not self._ray.wait([call], timeout=max(0.0, min(_LOOK_S, due - time.monotonic())))[0]:
            if not wanted():
                raise NotWanted
            if time.monotonic() > due:
                raise WorkerLost(f"gave no answer in {self._deadline_s:g} s")
        try:
            return self._ray.get(call)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, UserError):
                raise error.cause from None
            if isinstance(error.cause, self._ray.exceptions.RayError):
                raise WorkerLost(f"could not read what it was given: {error.cause}") from error
            raise
        except self._ray.exceptions.RayError as error:
            raise WorkerLost(f"ended: {first_line(error)}") from error


def ray_stream(
    make: Callable[[], Parts],
    envs: Mapping[str, ReasoningEnv],
    settings: RolloutConfig,
    store_bytes: int = STORE_BYTES,
) -> JobStream:
    """Workers on Ray, once the first has started.

    make: makes a worker's environments and policy; pickled, and called in the worker. envs: like
    theirs, for lost episodes. A cluster that this process has already joined is used and left as it
    is. Raises MissingExtra, BadOption if the cluster cannot be reached or is too small,
    NoWorkersLeft, and any UserError of ``make``.
    """
    ray, ahead = import_ray(), settings.max_staleness > 0
    at_end = ray.shutdown if connect(ray, settings, store_bytes) else lambda: None
    try:
        check_size(ray, settings)
    except BaseException:
        at_end()
        raise
    actor = ray.remote(RolloutActor).options(
        num_cpus=1,
        num_gpus=settings.gpus,
        max_restarts=0,
        max_concurrency=1 + ahead,
        scheduling_strategy="SPREAD",
    )
    make_actor = partial(actor.remote, make, os.getcwd(), ahead, settings.continue_episodes)
    return JobStream(
        [RayRunner(ray, make_actor, settings.deadline_s) for _ in range(settings.workers)],
        envs,
        groups_per_job=settings.groups_per_job,
        seeded_rows=ahead,
        retries=settings.retries,
        starting=True,
        at_end=at_end,
    )


def training_stream(
    config: RunConfig, envs: Mapping[str, ReasoningEnv], policy: TransformersPolicy, team: Team
) -> tuple[JobStream, Offered]:
    """The workers of a training, without weights, and what makes these.

    Raises as ``ray_stream``, and BadOption if several processes train without a named cluster.
    """
    check_address(config.rollout, team)
    parts = partial(training_parts, config)
    stream = ray_stream(parts, envs, config.rollout, store_bytes(policy.model))
    ray = import_ray()
    return stream, lambda model, version: handed_out(
        ray, worker_weights(config.policy, model), version
    )


def training_parts(config: RunConfig) -> Parts:
    """A worker's environments and policy, from the configuration; called in the worker."""
    torch.set_num_threads(config.model.threads or 1)
    environments = Environments(config)
    with without_notices():
        policy = load_worker(config.policy, config.model, config.seed, config.rollout.gpus)
    return environments.pools(), policy
