"""Processes of which one is killed, hangs or fails: all end, and one line says why."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from srl_agents.runs.config import make_config
from srl_agents.runs.lock import held
from srl_agents.runs.settings import merged
from srl_agents.training.run import train
from tests.srl_agents.letters import lines
from tests.srl_agents.parallel.team_jobs import together

WEIGHTS = "model.safetensors"
_FOREVER = {"budget": {"updates": 100_000}, "checkpoint": {"every": 1}}


@dataclass
class Processes:
    """Processes of one team, started without a launcher."""

    folder: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *trees: dict[str, Any]) -> None:
        """A training process for each configuration."""
        given = list[str]()
        for rank, tree in enumerate(trees):
            given.append(str(self.folder / f"rank-{rank}.json"))
            Path(given[-1]).write_text(json.dumps(tree))
        self._start([["-m", "srl_agents", "train", "--config", file] for file in given])

    def command(self, *arguments: str) -> None:
        """Two processes of Python."""
        self._start([arguments] * 2)

    def _start(self, commands: Sequence[Sequence[str]]) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
        for rank, command in enumerate(commands):
            place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": len(commands)}
            place |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": 1}
            process = subprocess.Popen(
                [sys.executable, *command],
                env=os.environ | {name: str(value) for name, value in place.items()},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            self.started.append(process)

    def ends(self, within_s: float) -> list[str]:
        """What each process has written to standard error, after all have ended."""
        deadline = time.monotonic() + within_s
        return [
            process.communicate(timeout=max(1.0, deadline - time.monotonic()))[1]
            for process in self.started
        ]

    def kill(self) -> None:
        for process in self.started:
            process.kill()
            process.communicate()


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    made = Processes(tmp_path)
    yield made
    made.kill()


def checkpoint(folder: Path) -> Path:
    """The first checkpoint of a run, once it is there."""
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        if found := sorted((folder / "checkpoints").glob("update-*")):
            return found[0]
        time.sleep(0.05)
    raise AssertionError("no checkpoint in 200 s")


def errors(written: list[str]) -> list[str]:
    """What all processes said about an end."""
    return [line for text in written for line in text.splitlines() if "error" in line.lower()]


def run(tree: dict[str, Any], resume: bool = False) -> int:
    return train(make_config(tree), resume=resume).usage.updates


@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1])
def test_a_killed_process_ends_the_others_with_one_line(
    tree: dict[str, Any], processes: Processes, killed: int
) -> None:
    ahead = {"rollout": {"max_staleness": 1, "workers": 1}}
    processes.start(*[merged(merged(tree, _FOREVER), ahead)] * 3)
    checkpoint(Path(tree["out"]))
    gone = processes.started[killed]
    os.kill(gone.pid, signal.SIGKILL)
    written = processes.ends(within_s=60)
    expected = (
        f"error: rank {killed} (process {gone.pid}) of 3 is gone, so all processes end. Fix: start"
        f" all processes again with --resume {tree['out']}"
    )
    assert errors(written) == [expected]
    assert not any("Traceback" in text or "frame #" in text for text in written), written
    assert all(process.returncode == 1 for process in processes.started if process is not gone)


@pytest.mark.slow
@pytest.mark.parametrize(("parallel", "killed"), [("ddp", 0), ("fsdp", 1)])
def test_a_run_that_was_killed_resumes_to_the_bits_of_an_undisturbed_one(
    tree: dict[str, Any], tmp_path: Path, processes: Processes, parallel: str, killed: int
) -> None:
    changes = {"model": {"parallel": parallel, "threads": 1}, "checkpoint": {"every": 1}}
    tree = merged(tree, {**changes, "budget": {"updates": 12}, "log": {"rollouts_every": 1}})
    undisturbed = merged(tree, {"out": str(tmp_path / "undisturbed")})
    assert together(2, run, undisturbed) == [12, 12]
    processes.start(tree, tree)
    checkpoint(Path(tree["out"]))
    processes.started[killed].kill()
    processes.ends(within_s=60)
    assert not (Path(tree["out"]) / "model").exists()
    assert together(2, run, tree, True) == [12, 12]
    found, expected = (load_file(Path(t["out"]) / "model" / WEIGHTS) for t in (tree, undisturbed))
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    rollouts = [lines(Path(each["out"]), "rollouts") for each in (tree, undisturbed)]
    assert rollouts[0] == rollouts[1]


@pytest.mark.slow
def test_processes_with_other_settings_end_with_one_line(
    tree: dict[str, Any], processes: Processes
) -> None:
    processes.start(tree, merged(tree, {"train": {"lr": 0.5}}))
    written = processes.ends(within_s=200)
    expected = "error: all processes must have the same settings; got train.lr = 0.5 and 0.01 in"
    (line,) = errors(written)
    assert line.startswith(expected)
    assert not any("Traceback" in text for text in written), written


@pytest.mark.slow
def test_the_folder_of_a_run_that_is_written_is_not_taken(
    tree: dict[str, Any], processes: Processes
) -> None:
    with held(Path(tree["out"])):
        processes.start(tree, tree)
        written = processes.ends(within_s=200)
    (line,) = errors(written)
    assert "must be written by one process at a time; got a second one beside" in line
    assert not any("Traceback" in text for text in written), written


HANGS = """
import os, signal, sys, time, torch
from srl_agents.parallel import team, watch
watch.BEAT_S, watch.PATIENCE = 0.1, 20
team.join(torch.device("cpu"), "--resume runs/a")
print("joined", flush=True)
if os.environ["RANK"] == sys.argv[1]:
    os.kill(os.getpid(), signal.SIGSTOP)
time.sleep(100)
"""


@pytest.mark.slow
def test_a_process_that_hangs_ends_the_others(processes: Processes) -> None:
    processes.command("-c", HANGS, "1")
    first, second = processes.started
    assert first.communicate(timeout=100)[1] == (
        "error: rank 1 of 2 is lost: no sign of life for 2 s. Fix: start all processes again with"
        " --resume runs/a\n"
    )
    assert first.returncode == 1
    second.kill()


@pytest.mark.slow
def test_processes_that_the_launcher_ends_say_so_once(processes: Processes) -> None:
    processes.command("-c", HANGS, "none")
    for process in processes.started:
        assert process.stdout is not None
        assert process.stdout.readline() == "joined\n"
    for process in processes.started:
        process.terminate()
    assert errors(processes.ends(within_s=60)) == [
        "error: the launcher or a user ended this process (SIGTERM). Fix: start all processes again"
        " with --resume runs/a"
    ]
