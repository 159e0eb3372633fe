"""Checkpoints are whole or not there, and say so when they cannot be read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from srl_agents.runs.checkpoint import (
    CannotRead,
    CannotWrite,
    TrainerState,
    checkpoints,
    load_state,
    remove_drafts,
    save_checkpoint,
)
from tests.full_disk import files_of_at_most

STATE = TrainerState({"update": 7}, {"weights": torch.arange(3.0)})


def write_model(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"x" * 1000)


def save(folder: Path, update: int, keep: int = 2) -> Path:
    return save_checkpoint(folder, update, write_model, STATE, keep)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    path = save(tmp_path, 7)
    state = load_state(path)
    assert state.counters == {"update": 7}
    assert torch.equal(state.tensors["weights"], torch.arange(3.0))
    assert (path / "model.safetensors").exists()


def test_the_last_ones_stay_in_order(tmp_path: Path) -> None:
    for update in (5, 10, 200000, 1000000):
        save(tmp_path, update, keep=3)
    assert [path.name for path in checkpoints(tmp_path)] == [
        "update-000010",
        "update-200000",
        "update-1000000",
    ]


def test_a_draft_is_no_checkpoint_and_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / ".writing-update-000009").mkdir()
    (tmp_path / ".removing-update-000001").mkdir()
    assert checkpoints(tmp_path) == []
    remove_drafts(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_while_writing_leaves_the_earlier_ones(tmp_path: Path) -> None:
    first = save(tmp_path, 1)

    def fail(folder: Path) -> None:
        write_model(folder)
        raise OSError(28, "No space left on device")

    with pytest.raises(CannotWrite, match=r"No space left on device.*earlier checkpoints"):
        save_checkpoint(tmp_path, 2, fail, STATE, keep=1)
    assert checkpoints(tmp_path) == [first]
    assert [path.name for path in tmp_path.iterdir()] == [first.name]
    load_state(first)


def test_a_system_that_takes_no_more_bytes_is_a_clear_error(tmp_path: Path) -> None:
    first = save(tmp_path, 1)
    large = TrainerState({}, {"weights": torch.zeros(100_000)})
    with files_of_at_most(50_000), pytest.raises(CannotWrite, match="free space"):
        save_checkpoint(tmp_path, 2, write_model, large, keep=1)
    assert checkpoints(tmp_path) == [first]


def test_a_damaged_checkpoint_is_named_with_the_one_before_it(tmp_path: Path) -> None:
    first, second = save(tmp_path, 1), save(tmp_path, 2)
    os.truncate(second / "trainer" / "tensors.pt", 10)
    with pytest.raises(CannotRead, match=rf"{second} cannot be read.*resume from {first}"):
        load_state(second)
    (first / "trainer" / "state.json").write_text("{")
    with pytest.raises(CannotRead, match="delete it to start again"):
        load_state(first)


def test_saving_the_same_update_again_changes_nothing(tmp_path: Path) -> None:
    path = save(tmp_path, 3)
    before = (path / "trainer" / "state.json").stat().st_mtime_ns
    assert save(tmp_path, 3) == path
    assert (path / "trainer" / "state.json").stat().st_mtime_ns == before
