"""Logs that are cut back to a checkpoint, and that say so when they cannot be written."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from srl_agents.objectives.groups import Signal
from srl_agents.runs.checkpoint import CannotWrite
from srl_agents.runs.config import RunConfig, make_config
from srl_agents.training.log import RunLog
from srl_env.errors import BadData, BadOption
from srl_env.policy import Generation
from srl_env.rollout import Episode, Step
from tests.full_disk import files_of_at_most


def config(**log: Any) -> RunConfig:
    return make_config(
        {
            "out": "runs/x",
            "env": {"id": "e"},
            "model": {"path": "p"},
            "budget": {"updates": 1},
            "log": {"tensorboard": False, **log},
        }
    )


def read(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_updates_and_events_are_lines_in_order(tmp_path: Path) -> None:
    with RunLog(tmp_path, config(), {}, 0) as log:
        log.metrics(1, "srl", {"reward": 0.5})
        log.event(1, "srl", "stage_end", "enough")
    assert read(tmp_path) == [
        {"update": 1, "stage": "srl", "reward": 0.5},
        {"update": 1, "stage": "srl", "event": "stage_end", "reason": "enough"},
    ]


def test_what_came_after_the_checkpoint_is_removed(tmp_path: Path) -> None:
    with RunLog(tmp_path, config(), {}, 0) as log:
        log.metrics(1, "srl", {})
        offsets = log.durable_offsets()
        log.metrics(2, "srl", {"lost": 1.0})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"update": 3, "half a li')
    with RunLog(tmp_path, config(), offsets, 1) as log:
        log.metrics(2, "srl", {"again": 1.0})
    assert [line["update"] for line in read(tmp_path)] == [1, 2]
    assert "again" in read(tmp_path)[1]


def logged(folder: Path, updates: int) -> dict[str, int]:
    """A log of so many updates, of 45 bytes each."""
    with RunLog(folder, config(), {}, 0) as log:
        for update in range(1, updates + 1):
            log.metrics(update, "srl", {"reward": 0.5})
        return log.durable_offsets()


@pytest.mark.parametrize(
    ("damage", "line", "found"),
    [
        (lambda lines: [*lines[:2], lines[2][:20], *lines[3:]], 3, "update"),
        (lambda lines: [*lines[:2], lines[2][:20] + b"\n", *lines[3:]], 3, "b'"),
        (lambda lines: [lines[0], b"\xc8\x00\xff" * 15 + b"\n", *lines[2:]], 2, "xc8"),
        (lambda lines: [*lines[:3], b"[1, 2]\n", *lines[3:]], 4, r"\[1, 2\]"),
        (lambda lines: [*lines[:3], b'{"stage": "srl"}\n', *lines[3:]], 4, "stage"),
        (lambda lines: [*lines[:3], b"[" * 100_000 + b"\n", *lines[3:]], 4, "recursion"),
        (lambda lines: lines[:4], 5, "the end of the file after 180 bytes of 225"),
        (lambda lines: [], 1, "the end of the file after 0 bytes of 225"),
        (lambda lines: [lines[0], *lines[:4]], 2, "update 1 after update 1"),
    ],
    ids=[
        "cut",
        "cut, line end",
        "garbage",
        "a list",
        "no update",
        "deep",
        "too short",
        "empty",
        "twice",
    ],
)
def test_real_damage_is_named_with_its_line_and_nothing_is_changed(
    tmp_path: Path, damage: Callable[[list[bytes]], list[bytes]], line: int, found: str
) -> None:
    offsets, path = logged(tmp_path, 5), tmp_path / "metrics.jsonl"
    damaged = b"".join(damage(path.read_bytes().splitlines(keepends=True)))
    path.write_bytes(damaged)
    with pytest.raises(BadData, match=f"metrics.jsonl:{line}: .*got .*{found}.* mv ") as caught:
        RunLog(tmp_path, config(), offsets, 5)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == damaged


@pytest.mark.parametrize("after", [b"", b'{"update": 6, "sta', b"\x00\xff", b'{"update": 6}\n\xc8'])
def test_what_a_killed_run_left_unfinished_is_removed(tmp_path: Path, after: bytes) -> None:
    offsets, path = logged(tmp_path, 5), tmp_path / "metrics.jsonl"
    path.write_bytes(path.read_bytes() + after)
    with RunLog(tmp_path, config(), offsets, 5) as log:
        log.metrics(6, "srl", {})
    assert [line["update"] for line in read(tmp_path)] == [1, 2, 3, 4, 5, 6]


def test_a_last_line_without_its_line_end_gets_one(tmp_path: Path) -> None:
    offsets, path = logged(tmp_path, 5), tmp_path / "metrics.jsonl"
    path.write_bytes(path.read_bytes()[:-1])
    with RunLog(tmp_path, config(), offsets, 5) as log:
        log.metrics(6, "srl", {})
    assert [line["update"] for line in read(tmp_path)] == [1, 2, 3, 4, 5, 6]


def test_a_log_that_was_moved_away_is_started_again_and_says_so(tmp_path: Path) -> None:
    offsets = logged(tmp_path, 5)
    (tmp_path / "metrics.jsonl").rename(tmp_path / "metrics.jsonl.damaged")
    with RunLog(tmp_path, config(), offsets, 5) as log:
        log.metrics(6, "srl", {})
        again = log.durable_offsets()
    event, line = read(tmp_path)
    expected = "metrics.jsonl was gone when update 5 was resumed; it was started again"
    assert event["reason"] == expected
    assert line["update"] == 6
    RunLog(tmp_path, config(), again, 6).__exit__(None)


def test_a_full_disk_is_a_clear_error_and_what_was_written_stays(tmp_path: Path) -> None:
    def write() -> None:
        with RunLog(tmp_path, config(), {}, 0) as log:
            log.metrics(1, "srl", {"reward": 0.5})
            log.metrics(2, "srl", {str(n): 0.5 for n in range(100)})

    message = r"metrics\.jsonl cannot be written.*free space"
    with files_of_at_most(100), pytest.raises(CannotWrite, match=message):
        write()
    first, *_ = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert json.loads(first)["update"] == 1


def test_a_tracker_that_is_installed_gets_the_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []
    fake = SimpleNamespace(
        init=lambda **options: calls.append(options["name"]),
        log=lambda numbers, step: calls.append((step, numbers)),
        finish=lambda: calls.append("finished"),
    )
    monkeypatch.setitem(sys.modules, "trackio", fake)
    with RunLog(tmp_path, config(tracker="trackio"), {}, 0) as log:
        log.metrics(1, "srl", {"reward": 0.5})
    assert calls == ["x", (1, {"reward": 0.5}), "finished"]


def test_a_tracker_that_is_not_installed_is_an_error_that_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(BadOption, match="must be installed; got .wandb.. Fix: pip install wandb"):
        RunLog(tmp_path, config(tracker="wandb"), {}, 0)


def test_episodes_are_written_with_a_signal_for_each_step(tmp_path: Path) -> None:
    steps = [
        Step((), Generation("x"), "x", index, 0.5, {}, True, None, None, expert_action="y")
        for index in range(2)
    ]
    episode = Episode("p", 0, "srl", "expert", "step", tuple(steps), None, None, 3)
    with RunLog(tmp_path, config(), {}, 0) as log:
        log.rollouts(7, "srl", [episode], {(0, 1): Signal(1.5, 0.25, "trained")})
    row = json.loads((tmp_path / "rollouts/000000.jsonl").read_text())
    assert (row["update"], row["group"]) == (7, 3)
    assert row["signals"] == [None, {"advantage": 1.5, "std": 0.25, "outcome": "trained"}]
    assert [step["expert_action"] for step in row["steps"]] == ["y", "y"]
