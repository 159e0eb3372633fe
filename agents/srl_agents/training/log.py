"""Where a run's numbers and episodes are written: JSONL first, TensorBoard and trackers beside.

``metrics.jsonl`` holds one line per update and one per event (a stage that ends and why);
``rollouts.jsonl`` episodes, with what their groups made of each step. A resumed run cuts both
back to what its checkpoint had seen, so a line never appears twice, and a line that a killed run
left unfinished goes. Other damage is an error, and the file stays as it is.
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
from types import ModuleType
from typing import Any, TextIO

from srl_agents.objectives.groups import Signal
from srl_agents.runs.checkpoint import CannotWrite
from srl_agents.runs.config import RunConfig
from srl_env.errors import BadData, BadOption, MissingExtra
from srl_env.rollout import Episode

Offsets = dict[str, int]


class RunLog:
    """The open log files of one run. A context manager."""

    def __init__(self, folder: Path, config: RunConfig, offsets: Offsets, update: int) -> None:
        """offsets: the length in bytes to which each file is cut back first, {} for empty files.

        update: the last one whose numbers stay. Raises MissingExtra or BadOption if TensorBoard
        or the tracker that the configuration names is not installed; BadData, and changes nothing,
        where a file is damaged before that length. A missing file is started again, which
        is an event.
        """
        names = ("metrics", "rollouts")
        paths = {name: folder / f"{name}.jsonl" for name in names}
        sizes = {name: offsets.get(name, 0) for name in names}
        gone = [name for name in names if sizes[name] and not paths[name].exists()]
        sizes |= dict.fromkeys(gone, 0)
        for name in names:
            if sizes[name]:
                deque(read_log(paths[name], sizes[name]), maxlen=0)
        self._tracker = _tracker(config)
        self._board = _tensorboard(folder, update) if config.log.tensorboard else None
        self._files = {name: _reopened(paths[name], sizes[name]) for name in names}
        for name in gone:
            reason = f"{name}.jsonl was gone when update {update} was resumed; it was started again"
            self.event(update, config.resolved_method.stages[0].name, "log", reason)

    def __enter__(self) -> RunLog:
        return self

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        for file in self._files.values():
            with suppress(OSError) if failed else nullcontext():  # it has been said already
                file.close()
        if self._board is not None:
            self._board.close()
        if self._tracker is not None:
            self._tracker.finish()

    def metrics(self, update: int, stage: str, numbers: Mapping[str, float]) -> None:
        """Writes one update's numbers everywhere."""
        self._write("metrics", {"update": update, "stage": stage, **numbers})
        if self._board is not None:
            for name, value in numbers.items():
                self._board.add_scalar(name, value, update)
        if self._tracker is not None:
            self._tracker.log(dict(numbers), step=update)

    def event(self, update: int, stage: str, event: str, reason: str) -> None:
        """Writes that something happened after an update, and why, to ``metrics.jsonl``."""
        self._write("metrics", {"update": update, "stage": stage, "event": event, "reason": reason})

    def rollouts(
        self,
        update: int,
        stage: str,
        episodes: Iterable[Episode],
        signals: Mapping[tuple[int, int], Signal] | None = None,
    ) -> None:
        """Writes episodes to ``rollouts.jsonl``.

        signals: {(episode, step): its signal}, as an objective's ``signals``. Each line has one
        for each of its steps, null if there is none.
        """
        found = signals or {}
        for number, episode in enumerate(episodes):
            theirs = [found.get((number, step.index)) for step in episode.steps]
            record = {
                "update": update,
                "stage": stage,
                **episode.to_json(),
                "signals": [signal and asdict(signal) for signal in theirs],
            }
            self._write("rollouts", record)

    def durable_offsets(self) -> Offsets:
        """The files' lengths in bytes, once all of it is on the disk."""
        if self._board is not None:
            self._board.flush()
        offsets = {}
        for name, file in self._files.items():
            with _writing(file):
                file.flush()
                os.fsync(file.fileno())
            offsets[name] = file.tell()
        return offsets

    def _write(self, name: str, record: Mapping[str, Any]) -> None:
        file = self._files[name]
        with _writing(file):
            file.write(json.dumps(record) + "\n")
            file.flush()


class NoLog(RunLog):
    """Takes everything and writes nothing: the log of processes beside the main one."""

    def __init__(self) -> None:
        self._tracker, self._board, self._files = None, None, {}

    def _write(self, name: str, record: Mapping[str, Any]) -> None:
        """Nothing."""


@contextmanager
def _writing(file: TextIO) -> Iterator[None]:
    """Turns a disk that refuses into CannotWrite."""
    try:
        yield
    except OSError as error:
        raise CannotWrite(
            f"{file.name} does not take another line ({error.strerror}); checkpoints are"
            " untouched. Make room, then go on with resume"
        ) from error


def _reopened(path: Path, size: int) -> TextIO:
    """The file opened for appending, cut back to ``size`` bytes."""
    file = path.open("a", encoding="utf-8", newline="\n")
    file.truncate(min(size, path.stat().st_size))
    file.seek(0, os.SEEK_END)
    if file.tell() < size:  # by the line end that ``read_log`` does without
        file.write("\n")
    return file


def read_log(path: Path, size: int | None = None) -> Iterator[dict[str, Any]]:
    """The lines of a log, of the first ``size`` bytes or of all of it, in order.

    The last line may lack its line end. Raises BadData that names the line which is damaged.
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
        f"{path}:{number}: must be the line of a log that the run wrote there; got {found}. Fix:"
        f" put back the file as it was, or move it away, as mv {path} {path}.damaged: the run then"
        " goes on with a new one"
    )


def _tensorboard(folder: Path, update: int) -> Any:
    try:
        tensorboard = importlib.import_module("torch.utils.tensorboard")
    except ImportError:
        raise MissingExtra("tensorboard", "train") from None
    return tensorboard.SummaryWriter(str(folder / "tensorboard"), purge_step=update + 1)


def _tracker(config: RunConfig) -> ModuleType | None:
    """The wandb or trackio module with a run begun, where the configuration asks for one."""
    name = config.log.tracker
    if name is None:
        return None
    try:
        tracker = importlib.import_module(name)
    except ImportError:
        raise BadOption(
            f"log.tracker is {name!r}, which is not installed: pip install {name}"
        ) from None
    tracker.init(project="srl-env", name=Path(config.out).name, config=config.model_dump())
    return tracker
