"""What ``srl-env swe`` shows: progress, the report of a build, and tasks as tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from rich.table import Table
from rich.text import Text

from srl_agents.cli.console import progress_bars

if TYPE_CHECKING:
    from srl_env.swe.builder.build import BuildProgress
    from srl_env.swe.builder.report import BuildReport
    from srl_env.swe.builder.validation import Validation
    from srl_env.swe.task import SWETask

_LISTED: Final = 20


class BuildBar:
    """A progress bar of tasks. A context manager."""

    def __init__(self, title: str) -> None:
        self._context = progress_bars()
        self._bars = self._context.__enter__()
        self._task = self._bars.add_task(title, total=1.0, note="")

    def __enter__(self) -> BuildBar:
        return self

    def __exit__(self, *_: object) -> None:
        self._context.__exit__(None, None, None)

    def show(self, progress: BuildProgress) -> None:
        """Shows the progress of a build."""
        tried = f" · {progress.kept} tasks of {progress.tried} bugs tried" if progress.tried else ""
        self.update(progress.fraction, progress.doing + tried)

    def update(self, fraction: float, note: str) -> None:
        """Shows a fraction with a note."""
        self._bars.update(self._task, completed=fraction, note=note)


def build_table(report: BuildReport) -> Table:
    """What was tried and kept, and why the rest was dropped."""
    grid = Table(title=f"{report.name}: {report.kept} tasks in {report.seconds:.0f} s")
    grid.add_column("what")
    grid.add_column("count", justify="right")
    grid.add_row("functions that tests run", str(report.functions))
    grid.add_row("reliable tests", str(report.tests))
    grid.add_row("oracle cases", str(report.cases), end_section=True)
    grid.add_row("bugs tried", str(report.tried))
    for reason, count in report.dropped.items():
        grid.add_row(f"  dropped: {reason}", str(count))
    grid.add_row("tasks", str(report.kept), end_section=True)
    for name, counts in (("split", report.splits), ("trust", report.trust)):
        for value, count in counts.items():
            grid.add_row(f"  {name} {value}", str(count))
    for kind, count in report.kinds.items():
        quota = f" of a quota of {report.quotas[kind]}" if kind in report.quotas else ""
        left = ", no candidates left" if kind in report.exhausted else ""
        grid.add_row(f"  bug {kind}", f"{count}{quota}{left}")
    without = [kind for kind in report.quotas if kind not in report.kinds]
    if without:
        tried_out = sum(kind in report.exhausted for kind in without)
        said = f"{len(without)} ({tried_out} ran out of candidates)"
        grid.add_row("  kinds of bugs without a task", said)
    for name, value in _model_rows(report.model):
        grid.add_row(f"  model {name}", value)
    excluded = list(report.excluded_tests.items())
    for test, reason in excluded[:_LISTED]:
        about, _, what = reason.partition(": ")
        last = f": {what.splitlines()[-1]}" if what.strip() else ""
        grid.add_row(Text(f"excluded: {test}: {about}{last}"), "")
    if len(excluded) > _LISTED:
        grid.add_row(f"… and {len(excluded) - _LISTED} more; the report has all", "")
    return grid


def _model_rows(model: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What a model wrote, as pairs of texts."""
    if not model:
        return
    yield "answers", f"{model['answers']}, {model['unusable']} of them no bug"
    yield "acceptance", f"{model['tasks']} tasks, {model['acceptance']:.0%} of the answers"
    yield "sentences", f"{model['sentences']} backed, {model['dropped_sentences']} dropped"
    for name, count in {**model["failures"], **model["usage"]}.items():
        yield name.replace("_", " "), f"{count:,.6g}"


def validation_table(found: Sequence[Validation], times: int) -> Table:
    """The tasks that are not sound; one line for all where every one is."""
    grid = _table(
        f"{len(found)} tasks, each graded {times} times and {times} times",
        "task",
        "correct code passes>",
        "no change passes>",
        "what fails",
    )
    for item in found:
        if not item.sound:
            counts = f"{item.gold} of {item.times}", f"{item.empty} of {item.times}"
            grid.add_row(item.task, *counts, Text(item.failed))
    if all(item.sound for item in found):
        grid.add_row("every task", f"{times} of {times}", f"0 of {times}", "")
    return grid


def task_table(title: str, tasks: Sequence[SWETask]) -> Table:
    """Tasks, one a row."""
    heads = ("task", "split", "difficulty>", "trust", "steps>", "title")
    grid = _table(f"{title}: {len(tasks)} tasks", *heads)
    for task in tasks:
        numbers = f"{task.difficulty:.2f}", task.trust, str(len(task.steps))
        grid.add_row(task.id, task.split, *numbers, Text(task.statement.splitlines()[0]))
    return grid


def _table(title: str, *heads: str) -> Table:
    """An empty table; heads that end in ">" are of numbers."""
    grid = Table(title=title)
    for head in heads:
        grid.add_column(head.removesuffix(">"), justify="right" if head[-1] == ">" else "left")
    return grid
