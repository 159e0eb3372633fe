"""Checkpoints that are whole or not there.

A checkpoint is an ordinary Hugging Face folder (weights, configuration, tokenizer) with one
subfolder, ``trainer``, for what training needs besides. It is written beside its place, made
durable, and renamed: whoever kills the process, and whenever, finds complete ones only.

    CheckpointError
    ├── CannotWrite     e.g. a full disk; the earlier checkpoints are untouched
    └── CannotRead      a damaged folder; the message names the one before it
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from srl_env.errors import SrlEnvError

_NAME = re.compile(r"update-(\d+)")
_STATE, _TENSORS = "trainer/state.json", "trainer/tensors.pt"


class CheckpointError(SrlEnvError, RuntimeError):
    """A checkpoint could not be written or read."""


class CannotWrite(CheckpointError):
    """The disk did not take what was written; the last good state is where it was."""


class CannotRead(CheckpointError):
    """A checkpoint is damaged or not one."""


@dataclass(frozen=True, slots=True)
class TrainerState:
    """What goes on where it stopped: plain counters (JSON-safe) and named tensors."""

    counters: dict[str, Any]
    tensors: dict[str, Any]


def save_checkpoint(
    folder: Path, update: int, write_model: Callable[[Path], None], state: TrainerState, keep: int
) -> Path:
    """The path of a new checkpoint, once it is complete and durable.

    folder: holds all checkpoints of a run. write_model: writes the model's own files into the
    folder it is given. keep: how many of the last checkpoints stay, this one included.
    Raises CannotWrite, and leaves the earlier ones alone, where the disk refuses.
    """
    final = folder / f"update-{update:06d}"

    def write(draft: Path) -> None:
        write_model(draft)
        (draft / "trainer").mkdir()
        (draft / _STATE).write_text(json.dumps(state.counters), encoding="utf-8")
        torch.save(state.tensors, draft / _TENSORS)

    if not final.exists():
        write_whole(final, write)
    for old in checkpoints(folder)[:-keep]:
        _remove(old)
    return final


def write_whole(final: Path, write: Callable[[Path], None]) -> Path:
    """The folder ``final``, once ``write`` has filled it and all of it is durable.

    An older folder of that name is replaced. Raises CannotWrite where the disk refuses.
    """
    draft = final.with_name(f".writing-{final.name}")
    try:
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        write(draft)
        _make_durable(draft)
        if final.exists():
            _remove(final)
        draft.rename(final)
        _sync(final.parent)
    except Exception as error:
        shutil.rmtree(draft, ignore_errors=True)
        raise CannotWrite(
            f"{final} was not written ({type(error).__name__}: {error}); earlier checkpoints are"
            " untouched. Make room, then go on with resume"
        ) from error
    return final


def load_state(path: Path) -> TrainerState:
    """The trainer's state in a checkpoint; CannotRead where it is damaged."""
    try:
        counters = json.loads((path / _STATE).read_text(encoding="utf-8"))
        tensors = torch.load(path / _TENSORS, map_location="cpu", weights_only=True)
    except Exception as error:
        raise cannot_read(path, error) from error
    return TrainerState(counters, tensors)


def cannot_read(path: Path, cause: Exception) -> CannotRead:
    """The error for a damaged checkpoint, with what to do about it."""
    earlier = [p for p in checkpoints(path.parent) if _update_of(p) < _update_of(path)]
    advice = f"to go on from {earlier[-1]}" if earlier else "to start again"
    return CannotRead(
        f"checkpoint {path} cannot be read ({type(cause).__name__}: {cause}); delete it {advice}"
    )


def checkpoints(folder: Path) -> list[Path]:
    """The complete checkpoints of a run, oldest first."""
    if not folder.is_dir():
        return []
    return sorted((p for p in folder.iterdir() if _NAME.fullmatch(p.name)), key=_update_of)


def remove_drafts(folder: Path) -> None:
    """Deletes what a killed process left half-written or half-deleted."""
    for pattern in (".writing-*", ".removing-*"):
        for draft in folder.glob(pattern):
            shutil.rmtree(draft)


def _update_of(path: Path) -> int:
    return int(path.name.removeprefix("update-"))


def _make_durable(folder: Path) -> None:
    """Flushes every file and folder below to the disk itself."""
    for path in sorted(folder.rglob("*")):
        _sync(path)
    _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    """Deletes a checkpoint; renamed first, so that no half of it ever looks complete."""
    doomed = path.rename(path.with_name(f".removing-{path.name}"))
    shutil.rmtree(doomed)
