"""The command line's output, and progress bars with the time left."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleDimensions, ConsoleOptions, RenderableType
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.segment import Segment
from rich.table import Column
from rich.text import Text

from srl_env.text.unicode import escaped

if TYPE_CHECKING:
    from srl_agents.comparison.scheduler import JobProgress
    from srl_agents.training.progress import Progress as TrainingProgress

_LOG_EVERY_S = 60.0


class _Console(Console):
    """A console that escapes invisible characters, with its own width if it is not a terminal.

    So text of data or of a policy cannot move the cursor, set a title or make a link.
    """

    def __init__(self, piped_width: int, *, stderr: bool) -> None:
        self._piped_width = piped_width
        super().__init__(stderr=stderr)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        """The segments of a renderable, their texts escaped."""
        for segment in super().render(renderable, options):
            text = segment.text if segment.control else escaped(segment.text)
            yield segment if text == segment.text else Segment(text, segment.style)

    @property
    def size(self) -> ConsoleDimensions:
        """The size of the terminal, or its own."""
        if self.is_terminal or "COLUMNS" in os.environ:
            return super().size
        return ConsoleDimensions(self._piped_width, super().size.height)

    @size.setter
    def size(self, new_size: tuple[int, int]) -> None:
        self._width, self._height = new_size


output = _Console(10_000, stderr=False)  # so wide that nothing is truncated or wrapped
errors = _Console(160, stderr=True)
"""Progress and messages. Results go to standard output, so that they can be piped."""


@contextmanager
def printed_log(name: str, level: int = logging.INFO) -> Iterator[None]:
    """A context in which a logger's messages, from a level on, are printed among ours."""
    logger = logging.getLogger(name)
    handler, before = _Printing(), logger.level
    logger.addHandler(handler)
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


class _Printing(logging.Handler):
    """Prints messages to the console of errors."""

    def emit(self, record: logging.LogRecord) -> None:
        """Prints one."""
        errors.print(record.getMessage(), markup=False, highlight=False)


class _NoteColumn(ProgressColumn):
    """A task's note, truncated at the end of the line; the other columns stay complete."""

    def render(self, task: Task) -> Text:
        return Text(task.fields["note"], no_wrap=True, overflow="ellipsis")


@contextmanager
def progress_bars(*, transient: bool = False) -> Iterator[Progress]:
    """Bars that move on a terminal; into a file or a pipe they are printed every minute.

    transient: remove the bars at the end.
    """
    fixed = Column(no_wrap=True)
    columns = (
        SpinnerColumn(table_column=fixed),
        TextColumn("{task.description}", table_column=fixed),
        BarColumn(14, table_column=fixed),
        TaskProgressColumn(table_column=fixed),
        TimeElapsedColumn(fixed),
        TextColumn("left", table_column=fixed),
        TimeRemainingColumn(table_column=fixed),
        _NoteColumn(Column()),
    )
    with Progress(
        *columns,
        console=errors,
        speed_estimate_period=120,
        transient=transient,
        disable=transient and not errors.is_terminal,  # else it leaves empty lines
    ) as bars:
        if errors.is_terminal:
            yield bars
            return
        with _logged(bars):
            yield bars


@contextmanager
def _logged(bars: Progress) -> Iterator[None]:
    """Prints the bars at intervals."""
    finished = threading.Event()

    def keep_printing() -> None:
        while not finished.wait(_LOG_EVERY_S):
            errors.print(bars.get_renderable())

    printer = threading.Thread(target=keep_printing, daemon=True)
    printer.start()
    try:
        yield
    finally:
        finished.set()
        printer.join()


@contextmanager
def training_bar(title: str) -> Iterator[Callable[[TrainingProgress], None]]:
    """A bar for one training run; give what it yields to ``train`` as ``on_progress``."""
    with progress_bars() as bars:
        task = bars.add_task(title, total=1.0, note="loading")

        def show(progress: TrainingProgress) -> None:
            parts = [f"{progress.stage}, update {progress.update}"]
            for name, head in _TRAINING_NUMBERS.items():
                if name in progress.metrics:
                    parts.append(f"{head} {progress.metrics[name]:.3g}")
            bars.update(task, completed=progress.fraction, note=" · ".join(parts))

        yield show


_TRAINING_NUMBERS = {
    "reward": "reward",
    "success": "correct",
    "format_fraction": "format",
    "groups/informative_fraction": "informative",
    "loss": "loss",
}


@contextmanager
def evaluation_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """A bar that counts episodes, for ``evaluate``'s ``on_progress``."""
    with progress_bars() as bars:
        task = bars.add_task(title, total=None, note="")

        def show(done: int, total: int) -> None:
            note = f"{done} of {total} episodes"
            bars.update(task, completed=done, total=total, note=note)

        yield show


@contextmanager
def comparison_bars() -> Iterator[Callable[[JobProgress], None]]:
    """One bar for all runs together and one for each active run, for ``compare``'s
    ``on_progress``."""
    with progress_bars() as bars:
        yield _JobBars(bars).show


class _JobBars:
    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._all = bars.add_task("all runs", total=0.0, note="")
        self._jobs: dict[tuple[str, int, str], TaskID] = {}
        self._fractions: dict[TaskID, float] = {}

    def show(self, progress: JobProgress) -> None:
        key = (progress.method, progress.seed, progress.base)
        if key not in self._jobs:
            title = f"{progress.method} seed {progress.seed}"
            title += f" from {progress.base}" if progress.base else ""
            self._jobs[key] = self._bars.add_task(title, total=1.0, note="", visible=False)
        self._fractions[self._jobs[key]] = progress.fraction
        self._bars.update(
            self._jobs[key],
            completed=progress.fraction,
            note=f"{progress.phase} {progress.note}",
            visible=progress.phase not in ("waiting", "finished", "failed"),
        )
        fractions = self._fractions.values()
        self._bars.update(
            self._all,
            completed=sum(fractions),
            total=len(fractions),
            note=f"{sum(f >= 1 for f in fractions)} of {len(fractions)} finished",
        )
