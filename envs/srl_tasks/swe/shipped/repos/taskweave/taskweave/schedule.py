"""Tasks given to workers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from taskweave.critical import windows
from taskweave.errors import PlanError
from taskweave.plan import Plan, Task


@dataclass(frozen=True)
class Assignment:
    """A task done by a worker (from 0) from start to end, in hours."""

    task: str
    worker: int
    start: int
    end: int


@dataclass(frozen=True)
class Schedule:
    """assignments: by start, then worker."""

    assignments: tuple[Assignment, ...]
    workers: int

    @property
    def end(self) -> int:
        """When all is done."""
        return max((done.end for done in self.assignments), default=0)

    def of_worker(self, worker: int) -> list[Assignment]:
        """What one worker does, in order. Raises PlanError for a worker there is not."""
        if not 0 <= worker < self.workers:
            raise PlanError(f"no worker {worker}")
        return [done for done in self.assignments if done.worker == worker]

    def busy_percent(self, worker: int) -> int:
        """The part of the whole time that a worker is busy; 0 where there is no time."""
        if self.end == 0:
            return 0
        busy = sum(done.end - done.start for done in self.of_worker(worker))
        return round(100 * busy / self.end)

    def idle_gaps(self, worker: int) -> list[tuple[int, int]]:
        """(start, end) of the times before the end when a worker has nothing to do."""
        gaps = []
        moment = 0
        for done in self.of_worker(worker):
            if done.start > moment:
                gaps.append((moment, done.start))
            moment = done.end
        if moment < self.end:
            gaps.append((moment, self.end))
        return gaps

    def at(self, moment: int) -> list[str]:
        """The tasks that are being done at a moment, sorted."""
        return sorted(done.task for done in self.assignments if done.start <= moment < done.end)


def make_schedule(plan: Plan, workers: int, ready: Mapping[str, int] | None = None) -> Schedule:
    """A schedule for so many workers, each doing one task at a time without a break.

    Of the tasks that could start first, those of higher priority go first, then those with less
    slack, then by name. ready: moments before which tasks must not start.
    Raises PlanError without workers.
    """
    if workers < 1:
        raise PlanError(f"{workers} workers")
    ready = ready or {}
    slack = {name: window.slack for name, window in windows(plan).items()}
    free_from = [0] * workers
    done: dict[str, Assignment] = {}
    waiting = list(plan)
    while waiting:
        open_tasks = [task for task in waiting if all(needed in done for needed in task.needs)]
        starts = {task.name: _first_start(task, done, ready, free_from) for task in open_tasks}
        chosen = min(
            open_tasks,
            key=lambda task: (starts[task.name], -task.priority, slack[task.name], task.name),
        )
        start = starts[chosen.name]
        worker = _pick_worker(free_from, start)
        done[chosen.name] = Assignment(chosen.name, worker, start, start + chosen.hours)
        free_from[worker] = start + chosen.hours
        waiting.remove(chosen)
    ordered = sorted(done.values(), key=lambda made: (made.start, made.worker, made.end))
    return Schedule(tuple(ordered), workers)


def workers_needed(plan: Plan, deadline: int) -> int | None:
    """The fewest workers with whom a schedule ends by the deadline; None where none suffice."""
    for workers in range(1, max(len(plan), 1) + 1):
        if make_schedule(plan, workers).end <= deadline:
            return workers
    return None


def _first_start(
    task: Task, done: Mapping[str, Assignment], ready: Mapping[str, int], free_from: list[int]
) -> int:
    """When a task can start: all it needs is done, it is ready, and a worker is free."""
    ends = [done[needed].end for needed in task.needs]
    return max([ready.get(task.name, 0), min(free_from), *ends])


def _pick_worker(free_from: list[int], start: int) -> int:
    """The worker who has waited least of those who are free; the first of equals."""
    able = [worker for worker, free in enumerate(free_from) if free <= start]
    return max(able, key=lambda worker: (free_from[worker], -worker))
