"""Runners on Ray: each has an actor, here or on another machine, and replaces it if it is lost."""

from __future__ import annotations

import importlib
import os
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from srl_agents.collection.ahead.stream import NotWanted
from srl_agents.collection.ahead.versioned import Versioned, Weights
from srl_agents.collection.ray.actor import Parts, RolloutActor
from srl_agents.collection.ray.packed_weights import packed, unpacked
from srl_agents.collection.ray.workers import (
    check_address,
    check_size,
    connect,
    first_line,
    import_ray,
    store_bytes,
    training_parts,
)
from srl_agents.collection.runners import Job, NoWorkersLeft, Result, WorkerLost, run_job
from srl_agents.parallel.team import Team
from srl_agents.policies.loading import worker_weights
from srl_agents.runs.config import RolloutConfig, RunConfig
from srl_env.errors import UserError

_LOOK_S = 0.5  # between two looks at whether a job is still wanted


class AheadActor(RolloutActor):
    """Runs one job at a time, and takes new weights meanwhile."""

    def __init__(self, make: Callable[[], Parts], folder: str, continues: bool) -> None:
        super().__init__(make, folder)
        self._continues, self._turn = continues, threading.Lock()
        self._offered = -1

    def start(self) -> str:
        """As ``RolloutActor.start``."""
        name = super().start()
        assert self._parts is not None, "just made"
        self._policy = Versioned(self._parts[1], self._continues)
        return name

    def offer(self, weights: Weights) -> None:
        """Notes the weights to sample with next; calls may arrive in another order."""
        if weights.version > self._offered:
            self._offered = weights.version
            self._policy.offer(weights)

    def run_ahead(self, job: Job) -> Result:
        """The job's episodes."""
        assert self._parts is not None, "started before it runs a job"
        with self._turn, self._policy.job():
            return run_job(job, self._parts[0], self._policy)


class RayRunner:
    """Runs jobs in an actor."""

    def __init__(self, ray: Any, make_actor: Callable[[], Any], settings: RolloutConfig) -> None:
        """make_actor: a new actor, of ``AheadActor``."""
        self.name = "a worker"
        self._ray, self._make_actor, self._settings = ray, make_actor, settings
        self._weights: Weights | None = None
        self._starting: Any = None
        self._actor: Any = None
        self.begin()

    def begin(self) -> None:
        """A new actor begins to start."""
        self._actor = self._make_actor()
        self._starting = self._actor.start.remote()

    def started(self) -> None:
        """Waits for the new actor. Raises WorkerLost, or the UserError of what it makes."""
        self.name = f"a worker ({self._get(self._starting, lambda: True)})"
        if self._weights is not None:
            self.offer(self._weights)

    def offer(self, weights: Weights) -> None:
        """Sends the weights, which arrive while a job runs."""
        self._weights = weights
        self._actor.offer.remote(weights)

    def run(self, job: Job, wanted: Callable[[], bool]) -> Result:
        """The job's episodes. Raises WorkerLost, also if it takes longer than ``deadline_s``."""
        result: Result = self._get(self._actor.run_ahead.remote(job), wanted)
        return result

    def recover(self) -> None:
        """Replaces the actor."""
        self.close()
        self.begin()
        self.started()

    def close(self) -> None:
        """Ends the actor."""
        self._ray.kill(self._actor, no_restart=True)

    def _get(self, call: Any, wanted: Callable[[], bool]) -> Any:
        due = time.monotonic() + self._settings.deadline_s
        while not self._ray.wait([call], timeout=_LOOK_S)[0]:
            if not wanted():
                raise NotWanted
            if time.monotonic() > due:
                raise WorkerLost(f"gave no answer in {self._settings.deadline_s:g} s")
        try:
            return self._ray.get(call)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, UserError):
                raise error.cause from None
            raise
        except self._ray.exceptions.RayError as error:
            raise WorkerLost(f"ended: {first_line(error)}") from error


class Actors:
    """The actors of a training process."""

    def __init__(self, config: RunConfig, model: nn.Module, team: Team) -> None:
        """Raises as ``RayWorkers``, and NoWorkersLeft for a worker that does not start."""
        settings = config.rollout
        check_address(settings, team)
        self._ray, self._config = import_ray(), config
        self._ours = connect(self._ray, settings, store_bytes(model))
        self.runners = list[RayRunner]()
        actor = self._ray.remote(AheadActor).options(
            num_cpus=1,
            num_gpus=settings.gpus,
            max_restarts=0,
            max_concurrency=2,
            scheduling_strategy="SPREAD",
        )
        make = partial(
            actor.remote, partial(training_parts, config), os.getcwd(), settings.continue_episodes
        )
        try:
            check_size(self._ray, settings)
            self.runners += [RayRunner(self._ray, make, settings) for _ in range(settings.workers)]
            for runner in self.runners:
                _start(runner, settings.retries)
        except BaseException:
            for runner in self.runners:
                runner.close()
            self.close()
            raise

    def offered(self, model: nn.Module, version: int) -> Weights:
        """The model's weights as they are now, in the object store."""
        weights = packed(worker_weights(self._config.policy, model))
        return Weights(version, partial(_load, [self._ray.put(weights)]))

    def close(self) -> None:
        """Ends the cluster, if it was started here."""
        if self._ours:
            self._ray.shutdown()


def _start(runner: RayRunner, retries: int) -> None:
    """Waits until it has started, and tries again if it dies at its start."""
    why = ""
    for attempt in range(retries + 1):
        try:
            if attempt:
                runner.recover()
            else:
                runner.started()
            return
        except WorkerLost as lost:
            why = str(lost)
    raise NoWorkersLeft(f"no worker starts, in {retries + 1} attempts; the last {why}")


def _load(handed: list[Any], policy: Any) -> None:
    policy.load_weights(unpacked(importlib.import_module("ray").get(handed[0])))
