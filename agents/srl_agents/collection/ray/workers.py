"""Rollouts on Ray: worker processes, here or on other machines, that run jobs.

Each worker is an actor with its own environments (worlds, sandboxes and verifiers included) and its
own policy. It has one job at a time and gets the next after its episodes have arrived, so neither
work nor results pile up. Weights go into Ray's object store once per update; a job carries a
reference to them and their version.

A worker may die, alone or with its machine, or miss its deadline. A new worker then replaces it,
and its job goes to the next free one. A job that is lost too often ends in ``WorkerLost`` failures,
which are masked. A job has its own seed, so its episodes do not depend on the worker. Ray itself is
imported when workers are made.
"""

from __future__ import annotations

import importlib
import os
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from srl_agents.collection.ray.actor import Parts, RolloutActor
from srl_agents.collection.runners import Job, NoWorkersLeft, Result, WorkerLost
from srl_agents.parallel.team import Team
from srl_agents.runs.config import RolloutConfig, RunConfig
from srl_agents.runs.environment import make_env
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadOption, MissingExtra, UserError
from srl_env.rollout import failed_episode

if TYPE_CHECKING:
    from torch import Tensor, nn

    from srl_agents.policies import TransformersPolicy

    Weights = Callable[[nn.Module], Iterable[tuple[str, Tensor]]]

_STORE_BYTES = 512 * 2**20  # of a cluster that is started here, for episodes in transit


class RayWorkers:
    """Workers that run jobs; ``Rollouts`` for a ``Collector``."""

    def __init__(
        self,
        make: Callable[[], Parts],
        env: ReasoningEnv | Mapping[str, ReasoningEnv],
        settings: RolloutConfig,
        *,
        weights: Weights | None = None,
        store_bytes: int = _STORE_BYTES,
    ) -> None:
        """make: makes a worker's environments and policy; pickled, and called in the worker.

        env: an environment like theirs, or several by name, for lost episodes. weights: takes from
        a model what ``push_weights`` sends. store_bytes: of the object store of a cluster that is
        started here; beyond that Ray writes to the disk. A cluster that this process has already
        joined is used and left as it is.
        Raises MissingExtra, BadOption if the cluster cannot be reached or is too small, and any
        UserError of ``make``.
        """
        self.groups_per_job, self._settings = settings.groups_per_job, settings
        self._envs = env if isinstance(env, Mapping) else {"": env}
        self._weights = weights
        self._ray = import_ray()
        self._ours = connect(self._ray, settings, store_bytes)
        self._version, self._handed = 0, list[Any]()
        self._counts = Counter[str]()
        actor = self._ray.remote(RolloutActor).options(
            num_cpus=1, num_gpus=settings.gpus, max_restarts=0, scheduling_strategy="SPREAD"
        )
        self._actor = partial(actor.remote, make, os.getcwd())
        self._workers = [_Worker() for _ in range(settings.workers)]
        try:
            check_size(self._ray, settings)
            for worker in self._workers:
                self._start(worker)
            while not self.places:  # the others may start later
                self._wait(_Work(()))
        except BaseException:
            self.close()
            raise

    def push_weights(self, model: nn.Module) -> None:
        """Sends a model's weights to the workers, which read them with their next job."""
        from srl_agents.collection.ray.packed_weights import packed

        assert self._weights is not None, "given where there is a model"
        self._handed = [self._ray.put(packed(self._weights(model)))]
        self._version += 1

    def run(self, jobs: Sequence[Job]) -> list[Result]:
        """The episodes of each job, in order; the episodes of lost jobs have failed.

        Raises NoWorkersLeft, and a UserError from a worker.
        """
        work = _Work(jobs)
        while len(work.done) < len(jobs):
            for worker in self._workers:
                if worker.free and work.waiting:
                    self._give(worker, work)
            self._wait(work)
        if jobs and work.masked == len(jobs):
            raise NoWorkersLeft(
                f"none of {len(jobs)} jobs was finished, each tried {self._settings.retries + 1} "
                f"times; the last: {work.why}. Fix that, or set a longer rollout.deadline_s, and "
                "resume"
            )
        return [work.done[number] for number in range(len(jobs))]

    def metrics(self) -> dict[str, float]:
        """Workers lost, jobs reissued, and jobs given up, since the last call."""
        names = ("lost", "reissued", "given_up")
        counts = {f"workers/{name}": float(self._counts[name]) for name in names}
        self._counts.clear()
        return counts

    @property
    def places(self) -> list[str]:
        """The name of each worker that has started, as in messages."""
        return [worker.place for worker in self._workers if worker.place]

    def close(self) -> None:
        """Ends the workers, and the cluster if it was started here."""
        for worker in self._workers:
            self._kill(worker)
        self._workers.clear()
        self._handed.clear()
        for env in self._envs.values():
            env.close()
        if self._ours:
            self._ray.shutdown()

    def _give(self, worker: _Worker, work: _Work) -> None:
        worker.job = work.waiting.popleft()
        job = work.jobs[worker.job]
        worker.call = worker.actor.run.remote(job, self._version, self._handed)
        worker.due = time.monotonic() + self._settings.deadline_s

    def _start(self, worker: _Worker) -> None:
        worker.actor, worker.job, worker.place = self._actor(), None, ""
        worker.call = worker.actor.start.remote()
        worker.due = time.monotonic() + self._settings.deadline_s

    def _wait(self, work: _Work) -> None:
        """Waits until a worker has answered or is overdue; then handles all of those."""
        busy = [worker for worker in self._workers if worker.call is not None]
        if not busy:
            raise NoWorkersLeft(f"no worker starts any more; the last: {work.why or 'unknown'}")
        left = min(worker.due for worker in busy) - time.monotonic()
        calls = [worker.call for worker in busy]
        self._ray.wait(calls, num_returns=1, timeout=max(0.0, left))
        answered, _ = self._ray.wait(calls, num_returns=len(calls), timeout=0)
        for worker in busy:
            if worker.call in answered:
                self._take(worker, work)
            elif time.monotonic() > worker.due:
                what = "did not start" if worker.starting else "gave no answer"
                self._lose(worker, work, f"{what} in {self._settings.deadline_s:g} s")

    def _take(self, worker: _Worker, work: _Work) -> None:
        """Reads a worker's answer: its start, a job's episodes, or its death."""
        try:
            answer = self._ray.get(worker.call)
        except self._ray.exceptions.RayTaskError as error:
            cause = error.cause
            if isinstance(cause, UserError):
                raise cause from None
            if isinstance(cause, self._ray.exceptions.RayError):
                self._lose(worker, work, f"could not read what it was given: {cause}")
                return
            raise
        except self._ray.exceptions.RayError as error:
            self._lose(worker, work, f"ended: {first_line(error)}")
            return
        if worker.job is None:
            worker.place = answer
        else:
            work.done[worker.job] = answer
        worker.call, worker.job, worker.false_starts = None, None, 0

    def _lose(self, worker: _Worker, work: _Work, why: str) -> None:
        """Replaces a worker, and puts its job first in the queue or gives the job up."""
        work.why = f"a worker ({worker.place or 'starting'}) {why}"
        self._counts["lost"] += 1
        if worker.job is not None:
            self._return(worker.job, work)
        elif worker.starting:
            worker.false_starts += 1
        self._kill(worker)
        if worker.false_starts <= self._settings.retries:
            self._start(worker)

    def _return(self, number: int, work: _Work) -> None:
        work.losses[number] += 1
        if work.losses[number] <= self._settings.retries:
            work.waiting.appendleft(number)
            self._counts["reissued"] += 1
            return
        failure = WorkerLost(f"{work.why}; lost {work.losses[number]} times")
        starts = work.jobs[number].starts
        lost = [failed_episode(self._envs[start.env], start, failure) for start in starts]
        work.done[number] = Result(lost)
        work.masked += 1
        self._counts["given_up"] += 1

    def _kill(self, worker: _Worker) -> None:
        if worker.actor is not None:
            self._ray.kill(worker.actor, no_restart=True)
        worker.actor, worker.call, worker.job = None, None, None


@dataclass(slots=True, eq=False)
class _Worker:
    """A slot for a worker, and what it is doing.

    call: the pending call; None if it is free or dead. job: the number of its job. due: its
    deadline, in ``time.monotonic``.
    """

    actor: Any = None
    call: Any = None
    job: int | None = None
    due: float = 0.0
    place: str = ""
    false_starts: int = 0

    @property
    def starting(self) -> bool:
        return self.call is not None and self.job is None

    @property
    def free(self) -> bool:
        return self.actor is not None and self.call is None


@dataclass(slots=True)
class _Work:
    """Jobs by number. losses: how often each was lost. why: the reason of the last loss."""

    jobs: Sequence[Job]
    waiting: deque[int] = field(init=False)
    done: dict[int, Result] = field(default_factory=dict)
    losses: Counter[int] = field(default_factory=Counter)
    masked: int = 0
    why: str = ""

    def __post_init__(self) -> None:
        self.waiting = deque(range(len(self.jobs)))


def ray_workers(config: RunConfig, policy: TransformersPolicy, team: Team) -> RayWorkers:
    """The workers of a training run, with the policy's weights.

    Raises as ``RayWorkers``, and BadOption if several processes train without a named cluster.
    """
    from srl_agents.policies.loading import worker_weights

    check_address(config.rollout, team)
    model = policy.model
    workers = RayWorkers(
        partial(training_parts, config),
        {name: make_env(settings) for name, settings in config.environments.items()},
        config.rollout,
        weights=partial(worker_weights, config.policy),
        store_bytes=store_bytes(model),
    )
    workers.push_weights(model)
    return workers


def check_address(settings: RolloutConfig, team: Team) -> None:
    """Raises BadOption if several processes train without a named cluster."""
    if team.size > 1 and settings.address is None:
        raise BadOption(
            "rollout.address: several training processes need one Ray cluster; start it with "
            "'ray start --head', and set the address to 'auto' or HOST:PORT"
        )


def store_bytes(model: nn.Module) -> int:
    """Room for the last trained weights, the next, and spare room, beside episodes."""
    size = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    return _STORE_BYTES + 3 * size


def training_parts(config: RunConfig) -> Parts:
    """A worker's environments and policy, from the configuration; called in the worker."""
    import torch

    from srl_agents.collection.environments import Environments
    from srl_agents.models.loading import without_notices
    from srl_agents.policies.loading import load_worker

    torch.set_num_threads(config.model.threads or 1)
    environments = Environments(config)

    with without_notices():
        policy = load_worker(config.policy, config.model, config.seed, config.rollout.gpus)
    return environments.pools(), policy


def import_ray() -> Any:
    """The package; raises MissingExtra."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        if error.name not in (None, "ray"):
            raise
        raise MissingExtra("ray", "ray") from None


def connect(ray: Any, settings: RolloutConfig, store_bytes: int) -> bool:
    """Joins the named cluster, or starts one; False if there is one already."""
    if ray.is_initialized():
        return False
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if settings.address is None:
        options |= {"address": "local", "num_cpus": settings.workers, "include_dashboard": False}
        options |= {"object_store_memory": store_bytes}
    else:
        options |= {"address": settings.address}
    try:
        _reach(settings.address or "")
        ray.init(**options)
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        raise BadOption(
            f"rollout.address: no Ray cluster at {settings.address or 'this machine'}: "
            f"{first_line(error)}"
        ) from error
    return True


def _reach(address: str) -> None:
    """Raises OSError if nobody listens at HOST:PORT; Ray itself takes minutes to notice."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=20).close()


def check_size(ray: Any, settings: RolloutConfig) -> None:
    """Raises BadOption if the cluster is too small for the workers, busy or not."""
    there = ray.cluster_resources()
    for name, key, each in (("processors", "CPU", 1.0), ("GPUs", "GPU", settings.gpus)):
        if there.get(key, 0.0) < each * settings.workers:
            raise BadOption(
                f"rollout.workers: {settings.workers} workers of {each:g} {name} each do not fit "
                f"into a cluster of {there.get(key, 0.0):g}; set fewer, or add machines"
            )


def first_line(error: Exception) -> str:
    """Of its message, or its name."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
