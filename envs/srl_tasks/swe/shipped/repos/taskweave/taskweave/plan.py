"""Plans, and their text form."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from taskweave.durations import format_hours, parse_hours
from taskweave.errors import CycleFound, PlanError, PlanSyntax, UnknownTask
from taskweave.graph import Graph
from taskweave.order import find_cycle, sort_tasks


@dataclass(frozen=True)
class Task:
    """A piece of work; priority: the higher, the sooner, where there is a choice."""

    name: str
    hours: int
    needs: tuple[str, ...] = ()
    priority: int = 0


class Plan:
    """Tasks by name. Whatever a task needs must be there before it is added."""

    def __init__(self) -> None:
        self._tasks: dict[str, Task] = {}
        self.graph = Graph()

    def add(self, task: Task) -> None:
        """Adds a task. Raises PlanError for a name that is taken or hours below 0, UnknownTask."""
        if task.name in self._tasks:
            raise PlanError(f"there is a task {task.name!r} already")
        if task.hours < 0:
            raise PlanError(f"{task.name}: {task.hours} hours")
        for needed in task.needs:
            self.task(needed)
        self._tasks[task.name] = task
        self.graph.add(task.name)
        for needed in task.needs:
            self.graph.connect(task.name, needed)

    def task(self, name: str) -> Task:
        """The task of a name. Raises UnknownTask."""
        if name not in self._tasks:
            raise UnknownTask(name)
        return self._tasks[name]

    def hours(self, name: str) -> int:
        """The hours of a task. Raises UnknownTask."""
        return self.task(name).hours

    def __len__(self) -> int:
        return len(self._tasks)

    def __iter__(self) -> Iterator[Task]:
        return iter(self._tasks.values())

    def in_order(self) -> list[Task]:
        """The tasks in an order to work in: higher priorities first where there is a choice."""
        ordered = sort_tasks(self.graph, key=lambda name: -self._tasks[name].priority)
        return [self._tasks[name] for name in ordered]

    def text(self) -> str:
        """The plan as a text that `read_plan` reads."""
        return "\n".join(_task_line(task) for task in self.in_order())


def read_plan(text: str) -> Plan:
    """The plan of a text with a line ``name duration [!priority] [after name, …]`` a task.

    Lines may stand in any order; ``#`` begins a comment. Raises PlanSyntax, UnknownTask,
    CycleFound.
    """
    tasks: dict[str, Task] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        content = line.partition("#")[0].strip()
        if content:
            task = _read_task(content, number)
            if task.name in tasks:
                raise PlanSyntax(f"{task.name!r} again", number)
            tasks[task.name] = task
    return _connected(tasks)


def _read_task(line: str, number: int) -> Task:
    head, after, tail = line.partition(" after ")
    name, _, rest = head.strip().partition(" ")
    duration, mark, priority = rest.partition("!")
    if mark and not priority.strip().removeprefix("-").isdecimal():
        raise PlanSyntax(f"not a priority: {priority.strip()!r}", number)
    needs = [needed.strip() for needed in tail.split(",")] if after else []
    if "" in needs:
        raise PlanSyntax("a name is missing after 'after'", number)
    try:
        hours = parse_hours(duration)
    except PlanSyntax as error:
        raise PlanSyntax(str(error), number) from None
    return Task(name, hours, tuple(dict.fromkeys(needs)), int(priority) if mark else 0)


def _connected(tasks: dict[str, Task]) -> Plan:
    graph = Graph.of([], tasks)
    for task in tasks.values():
        for needed in task.needs:
            graph.connect(task.name, needed)
    cycle = find_cycle(graph)
    if cycle is not None:
        raise CycleFound(cycle)
    plan = Plan()
    for name in sort_tasks(graph):
        plan.add(tasks[name])
    return plan


def _task_line(task: Task) -> str:
    priority = f" !{task.priority}" if task.priority else ""
    after = f" after {', '.join(task.needs)}" if task.needs else ""
    return f"{task.name} {format_hours(task.hours)}{priority}{after}"
