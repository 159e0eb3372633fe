"""When tasks can and must start, if there are workers enough."""

from __future__ import annotations

from dataclasses import dataclass

from taskweave.errors import PlanError
from taskweave.plan import Plan


@dataclass(frozen=True)
class Window:
    """The earliest start of a task, and the latest that does not delay the end, in hours."""

    earliest: int
    latest: int

    @property
    def slack(self) -> int:
        """How much it may start late."""
        return self.latest - self.earliest


def windows(plan: Plan, deadline: int | None = None) -> dict[str, Window]:
    """The window of each task, for an end at the deadline or else as early as possible.

    Raises PlanError for a deadline that cannot be held.
    """
    earliest = _earliest_starts(plan)
    end = max((earliest[task.name] + task.hours for task in plan), default=0)
    if deadline is not None and deadline < end:
        raise PlanError(f"{deadline} hours are not enough; {end} are needed")
    latest = _latest_starts(plan, end if deadline is None else deadline)
    return {name: Window(earliest[name], latest[name]) for name in plan.graph.names()}


def total_hours(plan: Plan) -> int:
    """The hours until all is done, with workers enough."""
    starts = _earliest_starts(plan)
    return max((starts[task.name] + task.hours for task in plan), default=0)


def critical_path(plan: Plan) -> list[str]:
    """Tasks in a row that together take all the time; the first by name of several."""
    found = windows(plan)
    path: list[str] = []
    moment = 0
    while True:
        before = path[-1] if path else None
        following = [
            name
            for name in plan.graph.names()
            if found[name].slack == 0
            and found[name].earliest == moment
            and name not in path
            and (before is None or before in plan.graph.needs(name))
        ]
        if not following:
            return path
        path.append(following[0])
        moment += plan.hours(following[0])


def delay_effect(plan: Plan, name: str, hours: int) -> int:
    """How much later all is done if one task takes so many hours more. Raises UnknownTask."""
    plan.task(name)
    return max(0, hours - windows(plan)[name].slack)


def most_parallel(plan: Plan) -> int:
    """How many workers are busy at once when every task starts as early as it can."""
    starts = _earliest_starts(plan)
    busy = 0
    for moment in starts.values():
        running = [
            task for task in plan if starts[task.name] <= moment < starts[task.name] + task.hours
        ]
        busy = max(busy, len(running))
    return busy


def _earliest_starts(plan: Plan) -> dict[str, int]:
    starts: dict[str, int] = {}
    for task in plan.in_order():
        ends = [starts[needed] + plan.hours(needed) for needed in task.needs]
        starts[task.name] = max(ends, default=0)
    return starts


def _latest_starts(plan: Plan, end: int) -> dict[str, int]:
    starts: dict[str, int] = {}
    for task in reversed(plan.in_order()):
        following = [starts[other] for other in plan.graph.needed_by(task.name)]
        starts[task.name] = min(following, default=end) - task.hours
    return starts
