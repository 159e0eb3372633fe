"""A run whose episodes Ray's workers sample with vLLM's engine; run by ``make test-vllm``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers

from srl_agents.config import make_config, merged
from srl_agents.small_models import build, character_tokenizer
from srl_agents.trainer import train

# vLLM, Ray and what they import warn of their own deprecations.
pytestmark = pytest.mark.filterwarnings("default")

ALPHABET = "0123456789abcdefghijklmnopqrst+-*,:?>();#"


@pytest.fixture
def tree(tmp_path: Path) -> dict[str, Any]:
    """A tiny model with random weights, its head tied, and a problem that it can learn."""
    tokenizer = character_tokenizer(ALPHABET)
    config = transformers.LlamaConfig(
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        initializer_range=0.06,
        max_position_embeddings=512,
    )
    base = tmp_path / "base"
    build(config, tokenizer, seed=0).save_pretrained(base)
    tokenizer.save_pretrained(base)
    return {
        "out": str(tmp_path / "run"),
        "env": {
            "id": "srl/ModularChain-v0",
            "options": {"difficulty": 1, "max_problems": 2, "max_steps": 4},
        },
        "model": {"path": str(base), "device": "cpu", "threads": 1},
        "policy": {"sampler": "vllm", "engine": {"kv_cache_memory_bytes": 2**26}},
        "rollout": {"engine": "ray", "workers": 2, "unit": 2},
        "method": "srl",
        "budget": {"updates": 30},
        "train": {"lr": 1e-2, "batch": 8, "objective": {"max_tokens": 8}},
        "log": {"tensorboard": False},
    }


@pytest.mark.parametrize("adapters", [False, True])
def test_engines_in_workers_sample_with_the_weights_of_every_update(
    tree: dict[str, Any], adapters: bool
) -> None:
    pytest.importorskip("vllm")
    pytest.importorskip("ray")
    changes: dict[str, Any] = {"model": {"lora": {"rank": 4}}, "budget": {"updates": 3}}
    config = make_config(merged(tree, changes) if adapters else tree)
    train(config)
    text = (Path(config.out) / "metrics.jsonl").read_text()
    lines = [line for line in map(json.loads, text.splitlines()) if "event" not in line]
    assert max(line["sampler_gap"] for line in lines if "sampler_gap" in line) < 1e-4
    assert all(line["failures"] == line["workers/lost"] == 0 for line in lines)
    if not adapters:
        rewards = [line["reward"] for line in lines]
        assert np.mean(rewards[:3]) < -0.3
        assert np.median(rewards[15:]) > 0.3
