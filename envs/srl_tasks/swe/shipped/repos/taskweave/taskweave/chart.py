"""Plans as text."""

from __future__ import annotations

from taskweave.durations import format_hours
from taskweave.graph import Graph
from taskweave.schedule import Assignment, Schedule


def gantt(schedule: Schedule, width: int = 40) -> str:
    """A line per task with a bar from its start to its end, the whole time being `width` wide.

    Every bar has at least one mark; the worker's letter is the mark.
    """
    if not schedule.assignments:
        return "nothing to do"
    names = max(len(made.task) for made in schedule.assignments)
    return "\n".join(
        f"{made.task.ljust(names)} |{_bar(made, schedule.end, width)}|"
        for made in schedule.assignments
    )


def worker_list(schedule: Schedule) -> str:
    """A line per worker with its tasks and how busy it is."""
    lines = []
    for worker in range(schedule.workers):
        tasks = [
            f"{made.task} ({format_hours(made.end - made.start)})"
            for made in schedule.of_worker(worker)
        ]
        listed = ", ".join(tasks) or "nothing"
        lines.append(f"{worker_letter(worker)}: {listed}, {schedule.busy_percent(worker)}% busy")
    return "\n".join(lines)


def worker_letter(worker: int) -> str:
    """A to Z, then AA, AB and so on, as columns of a sheet are named."""
    letters = ""
    number = worker + 1
    while number > 0:
        number, rest = divmod(number - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters


def tree(graph: Graph, name: str) -> str:
    """What one needs as an indented tree; what was shown above is marked and not repeated."""
    lines: list[str] = []
    _add_branch(graph, name, 0, lines, set())
    return "\n".join(lines)


def _add_branch(graph: Graph, name: str, depth: int, lines: list[str], shown: set[str]) -> None:
    needs = graph.needs(name)
    if name in shown and needs:
        lines.append("  " * depth + f"{name} (above)")
        return
    lines.append("  " * depth + name)
    shown.add(name)
    for needed in needs:
        _add_branch(graph, needed, depth + 1, lines, shown)


def _bar(made: Assignment, end: int, width: int) -> str:
    scale = max(end, 1)
    start = min(made.start * width // scale, width - 1)
    length = max(1, made.end * width // scale - start)
    return (" " * start + worker_letter(made.worker)[0] * length).ljust(width)
