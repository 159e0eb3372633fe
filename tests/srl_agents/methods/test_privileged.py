"""Each method with a teacher against its base, on a task that is built for it, over three seeds."""

from __future__ import annotations

from pathlib import Path
from statistics import mean
from typing import Any

import pytest

from srl_agents import TransformersPolicy
from srl_agents.runs.config import make_config
from srl_agents.runs.settings import merged
from srl_agents.training.run import train
from srl_env import EnvPool, Sampling, Start
from srl_env.rollout import rollout
from tests.srl_agents import words
from tests.srl_agents.letters import updates
from tests.srl_agents.words import Words

pytestmark = pytest.mark.slow
SEEDS = (10, 11, 12)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that copies a word from a hint."""
    return words.save_base(tmp_path_factory.mktemp("base"), steps=120)


def run(base: Path, out: Path, method: str, seed: int, **changes: Any) -> Path:
    tree: dict[str, Any] = {
        "out": str(out),
        "seed": seed,
        "env": {"id": words.__file__},
        "model": {"path": str(base), "device": "cpu"},
        "method": method,
        "budget": {"updates": 250},
        "train": {
            "lr": 1e-3,
            "batch": 8,
            "objective": {"max_tokens": words.SIZE, "max_groups": 1.0},
        },
        "checkpoint": {"every": 1000},
        "log": {"tensorboard": False, "rollouts_every": 0, "kl_every": 0},
    }
    return train(make_config(merged(tree, changes))).folder


def success(folder: Path) -> float:
    """The fraction of correct answers of a run's model, which sees no hint."""
    policy = TransformersPolicy.from_pretrained(folder / "model", device="cpu")
    starts = [
        Start({"problem": number, "reward_mode": "rlvr"}, seed=copy)
        for number in range(len(words.PROMPTS))
        for copy in range(8)
    ]
    pool = EnvPool(Words)
    found = rollout(pool, policy, starts, Sampling(max_tokens=words.SIZE))
    pool.close()
    return mean(bool(episode.correct) for episode in found)


@pytest.fixture(scope="module")
def without(base: Path, tmp_path_factory: pytest.TempPathFactory) -> float:
    """What RLVR reaches in as many updates as the others, over the seeds."""
    folder = tmp_path_factory.mktemp("rlvr")
    return mean(success(run(base, folder / str(seed), "rlvr", seed)) for seed in SEEDS)


@pytest.mark.parametrize("method", ["opsd", "pi-distill"])
def test_a_solution_in_the_prompt_teaches_what_is_almost_never_guessed(
    base: Path, without: float, tmp_path: Path, method: str
) -> None:
    taught = mean(success(run(base, tmp_path / str(seed), method, seed)) for seed in SEEDS)
    print(method, without, taught)
    assert taught > without + 0.1


def test_a_teacher_that_knows_teaches_what_is_almost_never_guessed(
    base: Path, without: float, tmp_path: Path
) -> None:
    teacher = words.save_base(tmp_path / "teacher", knows=Words())
    named = {"stages": {"opd": {"objective": {"teacher": str(teacher), "group_size": 8}}}}
    taught = mean(success(run(base, tmp_path / str(seed), "opd", seed, **named)) for seed in SEEDS)
    print("opd", without, taught)
    assert taught > without + 0.1


def test_evidence_of_the_solution_divides_the_credit_well(base: Path, tmp_path: Path) -> None:
    """Two letters in a row are enough, so half of a correct completion's letters earned nothing."""
    shared: dict[str, Any] = {
        "env": {"options": {"repeated": True}},
        "budget": {"updates": 15},
        "train": {"objective": {"max_groups": 3.0}},
    }
    strong = {"evidence": 1.0, "evidence_clip": 1.0, "anneal": 1.0}
    reached = {}
    for method, objective in (("rlvr", {}), ("rlsd", strong)):
        stages = {method: {"objective": objective}}
        folders = [
            run(base, tmp_path / f"{method} {seed}", method, seed, stages=stages, **shared)
            for seed in range(10, 16)
        ]
        reached[method] = mean(line["success"] for folder in folders for line in updates(folder))
    print(reached)
    assert reached["rlsd"] > reached["rlvr"]
