"""Jobs that run in threads, each until it is done, while their results are waited for or not.

A runner has one job at a time. If a runner fails (a worker or a server is gone, which is a
``Failure`` that it raises), its job goes to another one, and its thread tries until it works again.
A job that is lost too often ends in ``WorkerLost`` failures, which are masked. Any other error is
raised by the next call that waits.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from srl_agents.collection.runners import Job, NoWorkersLeft, Result, WorkerLost
from srl_agents.collection.versioned import Weights
from srl_env.environment import ReasoningEnv
from srl_env.errors import Failure
from srl_env.rollout import failed_episode
from srl_env.seeding import derive_seed

_log = logging.getLogger(__name__)
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.2, 10.0  # before a lost runner is tried again


class NotWanted(Exception):
    """Raised in a job whose result nobody waits for any more."""


class Runner(Protocol):
    """What runs one job at a time, in its own thread."""

    @property
    def name(self) -> str:
        """As in messages."""
        ...

    def offer(self, weights: Weights) -> None:
        """Notes the weights to sample with next, without waiting."""
        ...

    def run(self, job: Job, wanted: Callable[[], bool]) -> Result:
        """The job's episodes.

        wanted: asked now and then; NotWanted may be raised if it says no. Raises a Failure if the
        runner is lost, not for failures of single episodes.
        """
        ...

    def recover(self, wanted: Callable[[], bool]) -> None:
        """Makes a lost runner work; raises a Failure if that is not possible now.

        wanted: as of ``run``.
        """
        ...

    def close(self) -> None:
        """Frees everything."""
        ...


@dataclass(slots=True)
class _Task:
    """Jobs whose results are delivered together. losses: how often it was lost; why: the last."""

    jobs: Sequence[Job]
    ahead: bool
    losses: int = 0
    why: str = ""
    results: list[Result] | None = None


@dataclass(slots=True)
class _Lost:
    """Why a runner does not work. since: in ``time.monotonic``. tries: to recover it, in vain."""

    why: str
    since: float = field(default_factory=time.monotonic)
    tries: int = 0


class JobStream:
    """Runs jobs on its runners; ``Rollouts`` for a ``Collector``, and more.

    groups_per_job: as of ``Rollouts``; it may be changed before jobs are submitted.
    """

    def __init__(
        self,
        runners: Sequence[Runner],
        envs: Mapping[str, ReasoningEnv],
        *,
        groups_per_job: int | None = 1,
        seeded_rows: bool = True,
        retries: int = 2,
        patience_s: float = 0.0,
        starting: bool = False,
        at_end: Callable[[], None] = lambda: None,
    ) -> None:
        """envs: by name, for lost episodes. seeded_rows: whether each episode gets a seed that does
        not depend on what else is sampled, instead of its job's. retries: of a lost job, and of
        lost runners. patience_s: how long all runners may be lost at the same time, at least.
        starting: whether runners must recover before their first job; waits for the first. at_end:
        called once all are closed."""
        self.groups_per_job, self._seeded_rows = groups_per_job, seeded_rows
        self.slots = len(runners)
        self._runners, self._envs = list(runners), envs
        self._retries, self._patience_s, self._at_end = retries, patience_s, at_end
        self._tasks: dict[int, _Task] = {}
        self._waiting, self._done = deque[int](), deque[int]()
        self._lost: dict[Runner, _Lost] = {}
        self._error: BaseException | None = None
        self._next_task = 0
        self._given_up = list[_Task]()  # since the last one that was done
        self._counts = Counter[str]()
        self._closed = False
        self._changed = threading.Condition()
        self._threads = [
            threading.Thread(target=self._work, args=(each,), name=each.name, daemon=True)
            for each in self._runners
        ]
        if starting:
            self._lost |= {each: _Lost("starts") for each in self._runners}
        for thread in self._threads:
            thread.start()
        if starting:
            self._wait_for_first()

    @property
    def busy(self) -> bool:
        """Whether there are submitted jobs that were not taken."""
        return any(task.ahead for task in self._tasks.values())

    def offer(self, weights: Weights) -> None:
        """Hands new weights to all runners, without waiting."""
        for runner in self._runners:
            runner.offer(weights)

    def submit(self, jobs: Sequence[Job]) -> None:
        """Begins jobs whose results are delivered together."""
        with self._changed:
            self._waiting.append(self._add(jobs, ahead=True))
            self._changed.notify_all()

    def take(self) -> list[Result]:
        """The results of submitted jobs that are done, the first to be done first; waits for them.

        Raises NoWorkersLeft, and what a runner raised.
        """
        with self._changed:
            self._wait(lambda: bool(self._done))
            if len(self._given_up) > self.slots:
                raise self._nothing_done(self._given_up)
            return self._finished(self._done.popleft())

    def run(self, jobs: Sequence[Job]) -> list[Result]:
        """The episodes of each job, in order, before anything that waits; raises as ``take``."""
        with self._changed:
            numbers = [self._add([job], ahead=False) for job in jobs]
            self._waiting.extendleft(reversed(numbers))
            self._changed.notify_all()
            tasks = [self._tasks[number] for number in numbers]
            self._wait(lambda: all(task.results is not None for task in tasks))
            if tasks and not any(task.results for task in tasks):
                raise self._nothing_done(tasks)
            return [result for number in numbers for result in self._finished(number)]

    def discard(self) -> None:
        """Forgets all submitted jobs; those that run end when they can."""
        with self._changed:
            for number in [n for n, task in self._tasks.items() if task.ahead]:
                del self._tasks[number]
            self._waiting = deque(n for n in self._waiting if n in self._tasks)
            self._done.clear()

    def metrics(self) -> dict[str, float]:
        """Runners lost, jobs reissued, and jobs given up, since the last call."""
        names = ("lost", "reissued", "given_up")
        with self._changed:
            counts = {f"workers/{name}": float(self._counts[name]) for name in names}
            self._counts.clear()
        return counts

    def close(self) -> None:
        """Ends the runners; a job that does not end by itself soon is left behind."""
        with self._changed:
            self._tasks.clear()
            self._closed = True
            self._changed.notify_all()
        until = time.monotonic() + _LONGEST_WAIT_S
        for thread in self._threads:
            thread.join(timeout=max(0.0, until - time.monotonic()))
        for runner in self._runners:
            runner.close()
        self._at_end()

    def _wait_for_first(self) -> None:
        try:
            with self._changed:
                self._wait(lambda: len(self._lost) < self.slots)
        except BaseException:
            self.close()
            raise

    def _add(self, jobs: Sequence[Job], ahead: bool) -> int:
        self._next_task += 1
        jobs = [_by_row(job) for job in jobs] if self._seeded_rows else jobs
        self._tasks[self._next_task] = _Task(jobs, ahead)
        return self._next_task

    def _finished(self, number: int) -> list[Result]:
        """The results of a task that is done; of a lost one its failed episodes."""
        task = self._tasks.pop(number)
        if task.results:
            return task.results
        failure = WorkerLost(f"{task.why}; lost {task.losses} times")
        return [
            Result([failed_episode(self._envs[s.env], s, failure) for s in job.starts])
            for job in task.jobs
        ]

    def _wait(self, done: Callable[[], bool]) -> None:
        """Waits until something is done; raises if that will never be."""
        while not done():
            if self._error is not None:
                raise self._error
            self._check_lost()
            self._changed.wait(timeout=1.0)

    def _nothing_done(self, lost: Sequence[_Task]) -> NoWorkersLeft:
        return NoWorkersLeft(
            f"the last {len(lost)} jobs were lost, each {lost[-1].losses} times; the last:"
            f" {lost[-1].why}. Fix that, or set a longer rollout.deadline_s, then resume"
        )

    def _check_lost(self) -> None:
        if len(self._lost) < self.slots:
            return
        runner, last = max(self._lost.items(), key=lambda item: item[1].since)
        lost_s, tries = time.monotonic() - last.since, min(e.tries for e in self._lost.values())
        if tries > self._retries and lost_s > self._patience_s:
            raise NoWorkersLeft(
                f"nothing samples any more, in {tries} attempts; the last: {runner.name}:"
                f" {last.why}. Fix that, then resume"
            )

    # In the threads of the runners

    def _work(self, runner: Runner) -> None:
        try:
            if runner in self._lost:
                self._recover(runner)
            while (number := self._begin()) is not None:
                self._run(runner, number)
        except BaseException as error:  # noqa: BLE001  # raised where results are waited for
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def _begin(self) -> int | None:
        """The next task; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or bool(self._waiting))
            return None if self._closed else self._waiting.popleft()

    def _run(self, runner: Runner, number: int) -> None:
        task = self._tasks.get(number)
        if task is None:
            return
        try:
            results = [runner.run(job, lambda: number in self._tasks) for job in task.jobs]
        except NotWanted:
            return
        except Failure as failure:
            _log.warning("%s is lost: %s", runner.name, failure)
            self._return(number, runner, failure)
            self._recover(runner)
            if not self._closed:
                _log.warning("%s works again", runner.name)
            return
        with self._changed:
            self._given_up.clear()
            self._deliver(number, results)

    def _deliver(self, number: int, results: list[Result]) -> None:
        if number not in self._tasks:
            return
        self._tasks[number].results = results
        if self._tasks[number].ahead:
            self._done.append(number)
        self._changed.notify_all()

    def _return(self, number: int, runner: Runner, failure: Failure) -> None:
        """Puts a lost task first in the queue, or gives it up."""
        with self._changed:
            self._counts["lost"] += 1
            self._lost[runner] = _Lost(str(failure))
            task = self._tasks.get(number)
            if task is None:
                return
            task.losses, task.why = task.losses + 1, f"{runner.name}: {failure}"
            if task.losses <= self._retries:
                self._counts["reissued"] += 1
                self._waiting.appendleft(number)
                self._changed.notify_all()
                return
            self._counts["given_up"] += 1
            self._given_up.append(task)
            self._deliver(number, [])

    def _recover(self, runner: Runner) -> None:
        """Tries until the lost runner works."""
        wait_s, lost = _FIRST_WAIT_S, self._lost[runner]
        while not self._closed:
            try:
                runner.recover(lambda: not self._closed)
            except NotWanted:
                continue
            except Failure as failure:
                with self._changed:
                    lost.why, lost.tries = str(failure), lost.tries + 1
                    self._changed.wait_for(lambda: self._closed, timeout=wait_s)
                wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
            else:
                break
        with self._changed:
            del self._lost[runner]
            self._changed.notify_all()


def _by_row(job: Job) -> Job:
    """The job with a seed for each episode, which does not depend on what else is sampled."""
    if job.seed is None:
        return job
    starts = tuple(
        replace(start, sampling_seed=derive_seed("row", job.seed, number))
        for number, start in enumerate(job.starts)
    )
    return Job(starts, job.sampling)
