"""A run whose episodes Ray's workers sample with vLLM's engine; run by ``make test-vllm``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from srl_agents.runs.config import make_config
from srl_agents.runs.settings import merged
from srl_agents.training.run import train
from tests.srl_agents.letters import updates

# vLLM, Ray and what they import warn of their own deprecations.
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture
def tree(tree: dict[str, Any]) -> dict[str, Any]:
    changes = {
        "policy": {"sampler": "vllm", "engine": {"kv_cache_memory_bytes": 2**26}},
        "rollout": {"engine": "ray", "workers": 2, "job_groups": 2},
        "budget": {"updates": 30},
        "train": {"batch": 8},
    }
    return merged(tree, changes)


@pytest.mark.parametrize("adapters", [False, True])
def test_engines_in_workers_sample_with_the_weights_of_every_update(
    tree: dict[str, Any], adapters: bool
) -> None:
    pytest.importorskip("vllm")
    pytest.importorskip("ray")
    changes: dict[str, Any] = {"model": {"lora": {"rank": 4}}, "budget": {"updates": 3}}
    config = make_config(merged(tree, changes) if adapters else tree)
    train(config)
    lines = updates(Path(config.out))
    assert max(line["sampler_gap"] for line in lines if "sampler_gap" in line) < 1e-4
    assert all(line["failures"] == line["workers/lost"] == 0 for line in lines)
    if not adapters:
        rewards = [line["reward"] for line in lines]
        assert rewards[0] < 0.4
        assert np.mean(rewards[-5:]) > 0.8
