"""The chooser example: the whole of it in small, and what it promises at length."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("stable_baselines3")
pytest.importorskip("sb3_contrib")

from examples.step_chooser import ENVIRONMENTS, correct_fraction, learn, main
from srl_agents.integrations import SB3Policy
from srl_env.testing import ScriptedPolicy

CHAIN = "srl/ModularChain-v0"


def test_agents_and_figures_are_written(tmp_path: Path) -> None:
    small = ["--steps", "64", "--problems", "2", "--out", str(tmp_path)]
    main(["--env", CHAIN, "--algorithm", "PPO", *small])
    (figures,) = json.loads((tmp_path / "figures.json").read_text())
    assert (figures["env"], figures["algorithm"], figures["k"]) == (CHAIN, "PPO", 4)
    assert figures["steps"] >= 64
    chooser = SB3Policy.load(tmp_path / "ModularChain-v0-PPO", ScriptedPolicy(["a"]))
    assert chooser.view.k == 4


def test_chance_is_about_one_in_k() -> None:
    share = correct_fraction(None, CHAIN, k=4, perturbed=1, problems=40, seed=0)
    assert 0.15 < share < 0.35  # about 320 steps: 0.25 expected, std 0.024


@pytest.mark.slow
@pytest.mark.parametrize("env_id", ENVIRONMENTS)
@pytest.mark.parametrize("algorithm", ["PPO", "MaskablePPO"])
def test_a_chooser_is_far_above_chance_on_held_out_problems(env_id: str, algorithm: str) -> None:
    _, figures = learn(algorithm, env_id, k=4, perturbed=1, steps=20_000, problems=60, seed=1)
    assert figures.chance < 0.35
    assert figures.trained > figures.chance + 0.25
