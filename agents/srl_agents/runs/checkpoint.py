"""Checkpoints that are complete or absent.

A checkpoint is an ordinary Hugging Face folder (weights, configuration, tokenizer) with a subfolder
``trainer`` for the rest of the training state. It is written under another name, made durable, and
renamed, so a killed process leaves only complete ones.

    CheckpointError
    ├── CannotWrite     e.g. a full disk; earlier checkpoints are unchanged
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
    """The disk refused a write; the last good state is unchanged."""


class CannotRead(CheckpointError):
    """A checkpoint is damaged, or the folder is none."""


@dataclass(frozen=True, slots=True)
class TrainerState:
    """What a run resumes from: plain counters (JSON-safe) and named tensors."""

    counters: dict[str, Any]
    tensors: dict[str, Any]


def save_checkpoint(
    folder: Path, update: int, write_model: Callable[[Path], None], state: TrainerState, keep: int
) -> Path:
    """The path of a new checkpoint, once it is complete and durable.

    folder: of all checkpoints of a run. write_model: writes the model's own files into a folder.
    keep: how many of the last checkpoints stay, this one included. Raises CannotWrite if the disk
    refuses, and leaves the earlier ones unchanged.
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
    """The folder ``final``, after ``write`` has filled it and all of it is durable.

    Replaces an older folder of that name. Raises CannotWrite if the disk refuses.
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
            " unchanged. Fix: free space, then resume"
        ) from error
    return final


def load_state(path: Path) -> TrainerState:
    """The trainer's state in a checkpoint; raises CannotRead if it is damaged."""
    try:
        counters = json.loads((path / _STATE).read_text(encoding="utf-8"))
        tensors = torch.load(path / _TENSORS, map_location="cpu", weights_only=True)
    except Exception as error:
        raise cannot_read(path, error) from error
    return TrainerState(counters, tensors)


def cannot_read(path: Path, cause: Exception) -> CannotRead:
    """The error for a damaged checkpoint, and how to fix it."""
    earlier = [p for p in checkpoints(path.parent) if _update_of(p) < _update_of(path)]
    advice = f"to resume from {earlier[-1]}" if earlier else "to start again"
    return CannotRead(
        f"checkpoint {path} cannot be read ({type(cause).__name__}: {cause}); delete it {advice}"
    )


def checkpoints(folder: Path) -> list[Path]:
    """The complete checkpoints of a run, oldest first."""
    if not folder.is_dir():
        return []
    return sorted((p for p in folder.iterdir() if _NAME.fullmatch(p.name)), key=_update_of)


def remove_drafts(folder: Path) -> None:
    """Deletes the unfinished folders of a killed process."""
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
    """Deletes a checkpoint; renames it first, so that no half of it looks complete."""
    doomed = path.rename(path.with_name(f".removing-{path.name}"))
    shutil.rmtree(doomed)
