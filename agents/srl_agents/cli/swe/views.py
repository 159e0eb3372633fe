"""What ``srl-env swe`` shows: the progress of a build, its report, and tasks as tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from srl_agents.cli.console import progress_bars

if TYPE_CHECKING:
    from srl_env.swe.builder import BuildProgress, BuildReport, Validation
    from srl_env.swe.task import SWETask


class BuildBar:
    """The progress of a build of tasks. A context manager."""

    def __init__(self, title: str) -> None:
        self._context = progress_bars()
        self._bars = self._context.__enter__()
        self._task = self._bars.add_task(title, total=1.0, note="")

    def __enter__(self) -> BuildBar:
        return self

    def __exit__(self, *_: object) -> None:
        self._context.__exit__(None, None, None)

    def show(self, progress: BuildProgress) -> None:
        """Shows where the build is."""
        note = progress.doing
        if progress.tried:
            note += f" · {progress.kept} tasks of {progress.tried} bugs tried"
        self._bars.update(self._task, completed=progress.share, note=note)


def build_table(report: BuildReport) -> Table:
    """What was tried, what was kept, and why the rest was dropped."""
    grid = Table(title=f"{report.name}: {report.kept} tasks in {report.seconds:.0f} s")
    grid.add_column("what")
    grid.add_column("count", justify="right")
    grid.add_row("functions that tests run", str(report.functions))
    grid.add_row("tests that can be relied on", str(report.tests))
    grid.add_row("oracle cases", str(report.cases), end_section=True)
    grid.add_row("bugs tried", str(report.tried))
    for reason, count in report.dropped.items():
        grid.add_row(f"  dropped: {reason}", str(count))
    grid.add_row("tasks", str(report.kept), end_section=True)
    for name, counts in (("split", report.splits), ("trust", report.trust), ("bug", report.kinds)):
        for value, count in counts.items():
            grid.add_row(f"  {name} {value}", str(count))
    for test, reason in list(report.left_out.items())[:_SHOWN]:
        grid.add_row(Text(f"left out: {test}: {reason.splitlines()[0]}"), "")
    if len(report.left_out) > _SHOWN:
        grid.add_row(f"… and {len(report.left_out) - _SHOWN} more; all are in the report", "")
    return grid


def validation_table(found: Sequence[Validation], times: int) -> Table:
    """The tasks that are not sound; a line for all where every one is."""
    grid = Table(title=f"{len(found)} tasks, each graded {times} times and {times} times")
    for head in ("task", "right code passes", "no change passes", "what fails"):
        grid.add_column(head, justify="right" if "passes" in head else "left")
    for item in found:
        if not item.sound:
            counts = f"{item.gold} of {item.times}", f"{item.empty} of {item.times}"
            grid.add_row(item.task, *counts, Text(item.failed))
    if all(item.sound for item in found):
        grid.add_row("every task", f"{times} of {times}", f"0 of {times}", "")
    return grid


def swe_table(title: str, tasks: Sequence[SWETask]) -> Table:
    """Tasks with what they are about."""
    grid = Table(title=f"{title}: {len(tasks)} tasks")
    for head in ("task", "split", "difficulty", "trust", "steps", "title"):
        grid.add_column(head, justify="right" if head in ("difficulty", "steps") else "left")
    for task in tasks:
        about = Text(task.statement.splitlines()[0])
        numbers = f"{task.difficulty:.2f}", task.trust, str(len(task.steps))
        grid.add_row(task.id, task.split, *numbers, about)
    return grid


_SHOWN = 20
