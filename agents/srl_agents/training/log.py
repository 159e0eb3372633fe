"""The log of a run: files, and optionally TensorBoard and trackers.

``metrics.jsonl`` has a line per update and per event (as a stage that ends, and why). ``rollouts``
has episodes with the signal of each step (``srl_agents.runs.episode_rows``). A resumed run
truncates both to their length at its checkpoint, so nothing appears twice, and the unfinished line
of a killed run is removed. Other damage is an error, and the file stays as it is.
"""

from __future__ import annotations

import importlib
import json
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, TextIO

from srl_agents.objectives.groups import Signal
from srl_agents.runs.checkpoint import CannotWrite
from srl_agents.runs.config import RunConfig
from srl_agents.runs.episode_rows import ROLLOUTS, EpisodeRows
from srl_env.errors import BadData, BadOption, MissingExtra
from srl_env.rollout import Episode

METRICS = "metrics.jsonl"
Offsets = dict[str, int]


class RunLog:
    """The open log files of one run. A context manager."""

    def __init__(self, folder: Path, config: RunConfig, offsets: Offsets, update: int) -> None:
        """offsets: the bytes of ``metrics`` and the number of ``rollouts`` to which the log is
        truncated first; {} for an empty one.

        update: the last one whose numbers stay. A missing file is started again, which is an
        event. Raises MissingExtra or BadOption if TensorBoard or the tracker is not installed,
        and BadData, without changes, if a file is damaged before that length.
        """
        path, log = folder / METRICS, folder / ROLLOUTS
        gone = [each.name for each in (path, log) if offsets.get(each.stem) and not each.exists()]
        size = 0 if path.name in gone else offsets.get(path.stem, 0)
        count = 0 if log.name in gone else offsets.get(log.stem, 0)
        if size:
            deque(read_log(path, size), maxlen=0)
        found = EpisodeRows(log, repair=False)
        if not found.has(range(count)).all():
            raise _damaged(log, found.count, f"{found.count} episodes of {count}")
        self._tracker = _tracker(config)
        self._board = _tensorboard(folder, update) if config.log.tensorboard else None
        self._metrics, self._rollouts = _reopened(path, size), EpisodeRows(log)
        with _writing(log):
            self._rollouts.truncate(count)
        for name in gone:
            reason = f"{name} was gone when update {update} was resumed; it was started again"
            self.event(update, config.resolved_method.stages[0].name, "log", reason)

    def __enter__(self) -> RunLog:
        return self

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        with suppress(OSError) if failed else nullcontext():  # the first error is reported
            self._metrics.close()
        if self._board is not None:
            self._board.close()
        if self._tracker is not None:
            self._tracker.finish()

    def metrics(self, update: int, stage: str, numbers: Mapping[str, float]) -> None:
        """Writes one update's numbers everywhere."""
        self._write({"update": update, "stage": stage, **numbers})
        self._send(update, numbers)

    def event(
        self,
        update: int,
        stage: str,
        event: str,
        reason: str,
        numbers: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        """Writes an event after an update, its reason, and what was measured then."""
        named = {"update": update, "stage": stage, "event": event, "reason": reason}
        self._write({**named, **numbers})
        self._send(update, numbers)

    def rollouts(
        self,
        update: int,
        stage: str,
        episodes: Iterable[Episode],
        signals: Mapping[tuple[int, int], Signal] | None = None,
    ) -> None:
        """Writes episodes to ``rollouts``.

        signals: {(episode, step): its signal}, as an objective's ``signals``. Each row has one
        for each of its steps, null if there is none.
        """
        found, rows = signals or {}, dict[int, dict[str, Any]]()
        for number, episode in enumerate(episodes):
            theirs = [found.get((number, step.index)) for step in episode.steps]
            rows[self._rollouts.count + number] = {
                "update": update,
                "stage": stage,
                **episode.to_json(),
                "signals": [signal and asdict(signal) for signal in theirs],
            }
        with _writing(self._rollouts.path):
            self._rollouts.add(rows)

    def _send(self, update: int, numbers: Mapping[str, float]) -> None:
        """To TensorBoard and the tracker."""
        if self._board is not None:
            for name, value in numbers.items():
                self._board.add_scalar(name, value, update)
        if self._tracker is not None and numbers:
            self._tracker.log(dict(numbers), step=update)

    def durable_offsets(self) -> Offsets:
        """The lengths as ``offsets``, after all of the log is on the disk."""
        if self._board is not None:
            self._board.flush()
        with _writing(Path(self._metrics.name)):
            self._metrics.flush()
            os.fsync(self._metrics.fileno())
            self._rollouts.make_durable()
        return {"metrics": self._metrics.tell(), "rollouts": self._rollouts.count}

    def _write(self, record: Mapping[str, Any]) -> None:
        with _writing(Path(self._metrics.name)):
            self._metrics.write(json.dumps(record) + "\n")
            self._metrics.flush()


class NoLog(RunLog):
    """Writes nothing: the log of processes other than the main one."""

    def __init__(self) -> None:
        self._tracker, self._board = None, None

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""

    def rollouts(self, *_: Any, **__: Any) -> None:
        """Nothing."""

    def durable_offsets(self) -> Offsets:
        """Nothing is written."""
        return {}

    def _write(self, record: Mapping[str, Any]) -> None:
        """Nothing."""


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turns an error of the disk into CannotWrite."""
    try:
        yield
    except OSError as error:
        raise CannotWrite(
            f"{path} cannot be written ({error.strerror}); checkpoints are unchanged. Fix:"
            " free space, then resume"
        ) from error


def _reopened(path: Path, size: int) -> TextIO:
    """The file opened for appending, truncated to ``size`` bytes."""
    file = path.open("a", encoding="utf-8", newline="\n")
    file.truncate(min(size, path.stat().st_size))
    file.seek(0, os.SEEK_END)
    if file.tell() < size:  # by the line end that ``read_log`` does without
        file.write("\n")
    return file


def read_log(path: Path, size: int | None = None) -> Iterator[dict[str, Any]]:
    """The lines of a log, or of its first ``size`` bytes, in order.

    The last line may lack its line end. Raises BadData with the number of a damaged line.
    """
    number = last = read = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if size is not None and read >= size:
                return
            read += len(line) + (not line.endswith(b"\n"))
            row = _read_row(path, number, line)
            if "event" not in row and "reward_mode" not in row:  # the numbers of an update
                if row["update"] <= last:
                    raise _damaged(path, number, f"update {row['update']} after update {last}")
                last = row["update"]
            yield row
    if size is not None and read < size:
        raise _damaged(path, number + 1, f"the end of the file after {read} bytes of {size}")


def _read_row(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line)
        if isinstance(row["update"], int):
            return dict(row)
        cause = "no object with an update"
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        cause = str(error)
    raise _damaged(path, number, f"{line[:40]!r} ({cause})")


def _damaged(path: Path, number: int, found: str) -> BadData:
    return BadData(
        f"{path}:{number}: must be a line that the run wrote; got {found}. Fix: restore the file,"
        f" or move it away, as mv {path} {path}.damaged; the run then starts a new one"
    )


def _tensorboard(folder: Path, update: int) -> Any:
    try:
        tensorboard = importlib.import_module("torch.utils.tensorboard")
    except ImportError:
        raise MissingExtra("tensorboard", "train") from None
    return tensorboard.SummaryWriter(str(folder / "tensorboard"), purge_step=update + 1)


def _tracker(config: RunConfig) -> ModuleType | None:
    """The wandb or trackio module with a started run, if the configuration names one."""
    name = config.log.tracker
    if name is None:
        return None
    try:
        tracker = importlib.import_module(name)
    except ImportError:
        raise BadOption(
            f"log.tracker must be installed; got {name!r}. Fix: pip install {name}"
        ) from None
    tracker.init(project="srl-env", name=Path(config.out).name, config=config.model_dump())
    return tracker
