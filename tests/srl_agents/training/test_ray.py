"""Whole runs whose episodes Ray's workers run: they end as those of one process do, to the bit."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from srl_agents.runs.config import make_config
from srl_agents.runs.settings import merged
from srl_agents.training.run import train
from tests.srl_agents.letters import left_behind, lines, updates
from tests.srl_agents.ray_cluster import small_cluster

ray = pytest.importorskip("ray")
# Ray leaves files and sockets to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

ON_RAY = {"rollout": {"engine": "ray", "workers": 2}}
DEADLY = """
import os
import signal
from pathlib import Path

from tests.srl_agents.letters import Letters


class DeadlyLetters(Letters):
    "Kills the process that judges a step, as often as there are files in a folder."

    def __init__(self, folder="", **options):
        super().__init__(**options)
        self.folder = folder

    def legal(self, problem, actions, action):
        for file in sorted(Path(self.folder).glob("kill-*")):
            try:
                file.unlink()
            except FileNotFoundError:  # another worker was faster
                continue
            os.kill(os.getpid(), signal.SIGKILL)
        return super().legal(problem, actions, action)
"""


def kills_twice(folder: Path) -> dict[str, Any]:
    """The settings of an environment that kills the process it is in, twice."""
    file = folder / "deadly.py"
    file.write_text(DEADLY, encoding="utf-8")
    for number in range(2):
        (folder / f"kill-{number}").touch()
    return {"env": {"id": str(file), "options": {"folder": str(folder)}}}


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    with small_cluster():
        yield


@pytest.fixture
def tree(tree: dict[str, Any]) -> dict[str, Any]:
    """Units of two groups, five groups an update, those on a letter unknown to be replaced."""
    changes = {
        "env": {"options": {"letters": "abz"}},
        "model": {"threads": 1},  # as a worker has
        "budget": {"updates": 4},
        "train": {"batch": 5, "objective": {"group_size": 4}},
        "rollout": {"job_groups": 2},
    }
    return merged(tree, changes)


def run(tree: dict[str, Any], out: Path, *changes: dict[str, Any], resume: bool = False) -> Path:
    for change in (*changes, {"out": str(out)}):
        tree = merged(tree, change)
    train(make_config(tree), resume=resume)
    return out


def test_a_run_on_workers_is_that_of_one_process_to_the_bit(
    tree: dict[str, Any], tmp_path: Path
) -> None:
    here = run(tree, tmp_path / "here")
    there = run(tree, tmp_path / "there", ON_RAY)
    assert left_behind(there) == left_behind(here)
    last = updates(there)[-1]
    assert last["workers/lost"] == 0.0
    assert last["time/push"] > 0
    assert last["groups/sampled"] > 5  # groups without a signal were replaced
    assert last["sampler_gap"] < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 3])
def test_it_does_not_depend_on_the_number_of_workers(
    tree: dict[str, Any], tmp_path: Path, workers: int
) -> None:
    changes = {"method": "srl-rlvr", "stages": {"srl": {"fraction": 0.5}}}
    here = run(tree, tmp_path / "here", changes)
    there = run(tree, tmp_path / "there", changes, ON_RAY, {"rollout": {"workers": workers}})
    assert left_behind(there) == left_behind(here)


@pytest.mark.slow
def test_it_does_not_depend_on_workers_that_are_killed(
    tree: dict[str, Any], tmp_path: Path
) -> None:
    deadly = kills_twice(tmp_path)
    there = run(tree, tmp_path / "there", deadly, ON_RAY)
    assert not list(tmp_path.glob("kill-*"))
    assert sum(line.get("workers/lost", 0) for line in lines(there)) == 2
    assert sum(line.get("failures", 0) for line in lines(there)) == 0
    assert left_behind(run(tree, tmp_path / "here", deadly)) == left_behind(there)


@pytest.mark.slow
def test_a_run_resumes_with_another_number_of_workers_or_none(
    tree: dict[str, Any], tmp_path: Path
) -> None:
    whole = run(tree, tmp_path / "whole")
    parts = tmp_path / "parts"
    run(tree, parts, ON_RAY, {"budget": {"updates": 2}})
    shutil.rmtree(parts / "model")
    run(tree, parts, ON_RAY, {"rollout": {"workers": 1}, "budget": {"updates": 3}}, resume=True)
    run(tree, parts, resume=True)
    assert left_behind(parts)["model"] == left_behind(whole)["model"]
    assert left_behind(parts)["rollouts"] == left_behind(whole)["rollouts"]


@pytest.mark.slow
def test_adapters_alone_are_handed_out_where_they_alone_are_trained(
    tree: dict[str, Any], tmp_path: Path
) -> None:
    lora = {"model": {"lora": {"rank": 4}}}
    here = run(tree, tmp_path / "here", lora)
    there = run(tree, tmp_path / "there", lora, ON_RAY)
    assert left_behind(there) == left_behind(here)


def test_several_environments_on_workers_are_those_of_one_process(
    tree: dict[str, Any], tmp_path: Path
) -> None:
    settings = tree.pop("env")
    one, two = ({**settings, "name": name} for name in ("one", "two"))
    tree |= {"envs": [one | {"weight": 2.0}, two | {"options": {"letters": "cd"}}]}
    local = run(tree, tmp_path / "local")
    there = run(tree, tmp_path / "ray", ON_RAY)
    losses = [[update["loss"] for update in updates(folder)] for folder in (local, there)]
    assert losses[0] == losses[1]
    assert [row["env"] for row in lines(there, "rollouts")] == [
        row["env"] for row in lines(local, "rollouts")
    ]
