"""Whole runs whose episodes Ray's workers run: they end as those of one process do, to the bit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import transformers

from srl_agents.config import make_config, merged
from srl_agents.small_models import build, character_tokenizer
from srl_agents.trainer import train

ray = pytest.importorskip("ray")
# Ray leaves files and sockets to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

ALPHABET = "0123456789abcdefghijklmnopqrst+-*,:?>();#"
ON_RAY = {"rollout": {"engine": "ray", "workers": 2}}
DEADLY = """
import os
import signal
from pathlib import Path

from srl_tasks.modular_chain import ModularChainEnv


class DeadlyChainEnv(ModularChainEnv):
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


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    ray.init(
        address="local",
        num_cpus=3,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        object_store_memory=100 * 2**20,
    )
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with random weights."""
    folder = tmp_path_factory.mktemp("base")
    tokenizer = character_tokenizer(ALPHABET)
    config = transformers.LlamaConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        initializer_range=0.06,
    )
    build(config, tokenizer, seed=0).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def tree(base: Path, tmp_path: Path) -> dict[str, Any]:
    """Units of two groups, five groups an update, some of them to be replaced."""
    return {
        "out": str(tmp_path / "run"),
        "env": {
            "id": "srl/ModularChain-v0",
            "options": {"difficulty": 3, "max_problems": 4, "max_steps": 4},
        },
        "model": {"path": str(base), "device": "cpu", "threads": 1},
        "method": "srl",
        "budget": {"updates": 4},
        "train": {"lr": 1e-2, "batch": 5, "objective": {"max_tokens": 8, "group_size": 4}},
        "rollout": {"unit": 2},
        "checkpoint": {"every": 2},
        "log": {"tensorboard": False, "rollouts_every": 2},
    }


def run(tree: dict[str, Any], out: Path, *changes: dict[str, Any], resume: bool = False) -> Path:
    for change in (*changes, {"out": str(out)}):
        tree = merged(tree, change)
    train(make_config(tree), resume=resume)
    return out


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").open(encoding="utf-8")]


def left_behind(folder: Path) -> dict[str, Any]:
    """All that a run leaves, without what hangs on the clock and on who ran the episodes."""
    others = ("time/", "tokens_per_s/", "seconds", "workers/")
    return {
        "metrics": [
            {name: value for name, value in line.items() if not name.startswith(others)}
            for line in lines(folder)
        ],
        "rollouts": (folder / "rollouts.jsonl").read_bytes(),
        "model": (folder / "model" / "model.safetensors").read_bytes(),
    }


def test_a_run_on_workers_is_that_of_one_process_to_the_bit(
    tree: dict[str, Any], tmp_path: Path
) -> None:
    here = run(tree, tmp_path / "here")
    there = run(tree, tmp_path / "there", ON_RAY)
    assert left_behind(there) == left_behind(here)
    last = [line for line in lines(there) if "event" not in line][-1]
    assert last["workers/lost"] == 0.0
    assert last["time/push"] > 0
    assert last["groups/sampled"] > 5  # groups without a signal were replaced
    assert last["sampler_gap"] < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 3])
def test_it_does_not_hang_on_how_many_workers_there_are(
    tree: dict[str, Any], tmp_path: Path, workers: int
) -> None:
    changes = {"method": "srl-rlvr", "stages": {"srl": {"share": 0.5}}}
    here = run(tree, tmp_path / "here", changes)
    there = run(tree, tmp_path / "there", changes, ON_RAY, {"rollout": {"workers": workers}})
    assert left_behind(there) == left_behind(here)


@pytest.mark.slow
def test_it_does_not_hang_on_workers_that_are_killed(tree: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "deadly.py"
    file.write_text(DEADLY, encoding="utf-8")
    for number in range(2):
        (tmp_path / f"kill-{number}").touch()
    deadly = {"env": {"id": str(file), "options": {"folder": str(tmp_path)}}}
    there = run(tree, tmp_path / "there", deadly, ON_RAY)
    assert not list(tmp_path.glob("kill-*"))
    assert sum(line.get("workers/lost", 0) for line in lines(there)) == 2
    assert sum(line.get("failures", 0) for line in lines(there)) == 0
    assert left_behind(run(tree, tmp_path / "here", deadly)) == left_behind(there)


@pytest.mark.slow
def test_a_run_goes_on_with_another_number_of_workers_or_none(
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
