"""Where commands write, and progress with the time left."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
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
    """A console with a width of its own where nobody looks at it through a terminal.

    Text of data or a policy moves no cursor, sets no title and makes no link: what cannot be seen
    is escaped in all that is printed.
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
        """The terminal's, or its own."""
        if self.is_terminal or "COLUMNS" in os.environ:
            return super().size
        return ConsoleDimensions(self._piped_width, super().size.height)

    @size.setter
    def size(self, new_size: tuple[int, int]) -> None:
        self._width, self._height = new_size


output = _Console(10_000, stderr=False)  # so wide that nothing is cut or wrapped
errors = _Console(160, stderr=True)
"""Progress and messages; results go to standard output, so that they can be piped."""


class _NoteColumn(ProgressColumn):
    """What else there is to say of a task, cut where the line ends; the others stay whole."""

    def render(self, task: Task) -> Text:
        return Text(task.fields["note"], no_wrap=True, overflow="ellipsis")


@contextmanager
def progress_bars(*, transient: bool = False) -> Iterator[Progress]:
    """Bars that move on a terminal; into a file or a pipe they are printed every minute.

    transient: nothing is left of them at the end.
    """
    whole = Column(no_wrap=True)
    columns = (
        SpinnerColumn(table_column=whole),
        TextColumn("{task.description}", table_column=whole),
        BarColumn(14, table_column=whole),
        TaskProgressColumn(table_column=whole),
        TimeElapsedColumn(whole),
        TextColumn("left", table_column=whole),
        TimeRemainingColumn(table_column=whole),
        _NoteColumn(Column()),
    )
    with Progress(
        *columns,
        console=errors,
        speed_estimate_period=120,
        transient=transient,
        disable=transient and not errors.is_terminal,  # or it leaves empty lines
    ) as bars:
        if errors.is_terminal:
            yield bars
            return
        with _logged(bars):
            yield bars


@contextmanager
def _logged(bars: Progress) -> Iterator[None]:
    """Prints the bars as they stand, at intervals."""
    over = threading.Event()

    def keep_printing() -> None:
        while not over.wait(_LOG_EVERY_S):
            errors.print(bars.get_renderable())

    printer = threading.Thread(target=keep_printing, daemon=True)
    printer.start()
    try:
        yield
    finally:
        over.set()
        printer.join()


class TrainingBar:
    """The progress of one training run. A context manager."""

    def __init__(self, title: str) -> None:
        self._context = progress_bars()
        self._bars = self._context.__enter__()
        self._task = self._bars.add_task(title, total=1.0, note="loading")

    def __enter__(self) -> TrainingBar:
        return self

    def __exit__(self, *_: object) -> None:
        self._context.__exit__(None, None, None)

    def show(self, progress: TrainingProgress) -> None:
        """Shows where the run is after an update."""
        parts = [f"{progress.stage}, update {progress.update}"]
        for name, head in _TRAINING_NUMBERS.items():
            if name in progress.metrics:
                parts.append(f"{head} {progress.metrics[name]:.3g}")
        self._bars.update(self._task, completed=progress.share, note=" · ".join(parts))


_TRAINING_NUMBERS = {
    "reward": "reward",
    "success": "right",
    "groups/informative_fraction": "kept",
    "loss": "loss",
}


@contextmanager
def evaluation_bar(title: str) -> Iterator[EpisodeBar]:
    """A bar to give to ``evaluate`` as ``on_progress``."""
    with progress_bars() as bars:
        yield EpisodeBar(bars, title)


class EpisodeBar:
    """Counts episodes."""

    def __init__(self, bars: Progress, title: str) -> None:
        self._bars, self._task = bars, bars.add_task(title, total=None, note="")

    def __call__(self, done: int, total: int) -> None:
        """Shows how many episodes are finished."""
        note = f"{done} of {total} episodes"
        self._bars.update(self._task, completed=done, total=total, note=note)


@contextmanager
def comparison_bars() -> Iterator[JobBars]:
    """Bars to give to ``compare`` as ``on_progress``."""
    with progress_bars() as bars:
        yield JobBars(bars)


class JobBars:
    """One bar for all runs together, and one for each that is at work."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._all = bars.add_task("all runs", total=0.0, note="")
        self._jobs: dict[tuple[str, int, str], TaskID] = {}
        self._shares: dict[tuple[str, int, str], float] = {}

    def __call__(self, progress: JobProgress) -> None:
        """Shows where one run is."""
        key = (progress.method, progress.seed, progress.base)
        ended = progress.phase in ("finished", "failed")
        if key not in self._jobs:
            title = f"{progress.method} seed {progress.seed}"
            title += f" from {progress.base}" if progress.base else ""
            self._jobs[key] = self._bars.add_task(title, total=1.0, note="", visible=False)
        self._shares[key] = progress.share
        self._bars.update(
            self._jobs[key],
            completed=progress.share,
            note=f"{progress.phase} {progress.note}",
            visible=progress.phase != "waiting" and not ended,
        )
        done = sum(share >= 1 for share in self._shares.values())
        self._bars.update(
            self._all,
            completed=sum(self._shares.values()),
            total=len(self._shares),
            note=f"{done} of {len(self._shares)} finished",
        )
