"""How far a plan has come."""

from __future__ import annotations

from taskweave.errors import PlanError
from taskweave.plan import Plan


class Progress:
    """Which tasks of a plan are done, and how many hours went into the others."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._done: set[str] = set()
        self._spent: dict[str, int] = {}

    def finish(self, name: str) -> list[str]:
        """Marks a task as done; the tasks that it makes ready, sorted.

        Raises UnknownTask; PlanError for one that is done already or not ready.
        """
        self._check_open(name)
        self._done.add(name)
        self._spent.pop(name, None)
        return [other for other in self.plan.graph.needed_by(name) if self._is_ready(other)]

    def spend(self, name: str, hours: int) -> int:
        """Books hours on a task that is ready; what is left of it, at least 0.

        Raises UnknownTask, PlanError.
        """
        self._check_open(name)
        if hours <= 0:
            raise PlanError(f"{hours} hours cannot be spent")
        self._spent[name] = self._spent.get(name, 0) + hours
        return self.left(name)

    def reopen(self, name: str) -> list[str]:
        """Marks a task as not done, and all that need it; their names, sorted.

        Raises UnknownTask; PlanError for one that is not done.
        """
        self.plan.task(name)
        if name not in self._done:
            raise PlanError(f"{name} is not done")
        opened = {name} | (self.plan.graph.all_needed_by(name) & self._done)
        self._done -= opened
        return sorted(opened)

    def left(self, name: str) -> int:
        """The hours that a task still takes. Raises UnknownTask."""
        hours = self.plan.hours(name)
        if name in self._done:
            return 0
        return max(0, hours - self._spent.get(name, 0))

    def ready(self) -> list[str]:
        """The tasks that could be worked on, sorted."""
        return [name for name in self.plan.graph.names() if self._is_ready(name)]

    def blocked(self) -> dict[str, list[str]]:
        """The tasks that are not ready, each with what it waits for."""
        found = {}
        for name in self.plan.graph.names():
            waits = [other for other in self.plan.graph.needs(name) if other not in self._done]
            if waits and name not in self._done:
                found[name] = waits
        return found

    def percent(self) -> int:
        """The part of all hours that is done, rounded down; 100 only when all tasks are."""
        if len(self._done) == len(self.plan):
            return 100
        total = sum(task.hours for task in self.plan)
        left = sum(self.left(task.name) for task in self.plan)
        return min(99, 100 * (total - left) // total) if total else 0

    def remaining_hours(self) -> int:
        """The hours until all is done, with workers enough."""
        ends: dict[str, int] = {}
        for task in self.plan.in_order():
            start = max((ends[needed] for needed in task.needs), default=0)
            ends[task.name] = start + self.left(task.name)
        return max(ends.values(), default=0)

    def _is_ready(self, name: str) -> bool:
        needed = set(self.plan.graph.needs(name))
        return name not in self._done and needed <= self._done

    def _check_open(self, name: str) -> None:
        self.plan.task(name)
        if name in self._done:
            raise PlanError(f"{name} is done already")
        if not self._is_ready(name):
            raise PlanError(f"{name} is not ready")
