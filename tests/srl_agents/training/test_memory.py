"""Memory by arithmetic: numbers worked by hand for Qwen2.5-7B, and against what autograd keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from srl_agents.models.small import build, character_tokenizer
from srl_agents.nn.score import Continuation, make_decoder
from srl_agents.policies.trained import load_policy
from srl_agents.runs.config import LoraConfig, RunConfig, load_config, make_config
from srl_agents.training.memory import cached_tokens, estimate, kept_activations, model_size

LARGE = Path(__file__).parents[3] / "examples" / "large"
GIB = 2**30
N = 7_615_616_512  # parameters of Qwen2.5-7B


def qwen_7b() -> Any:
    """The numbers of Qwen2.5-7B-Instruct's config.json."""
    return transformers.Qwen2Config(
        vocab_size=152064,
        hidden_size=3584,
        intermediate_size=18944,
        num_hidden_layers=28,
        num_attention_heads=28,
        num_key_value_heads=4,
        tie_word_embeddings=False,
    )


def test_the_size_of_qwen_7b_is_as_published() -> None:
    size = model_size(qwen_7b(), LoraConfig(rank=16))
    assert size.parameters == N
    per_layer = 16 * (2 * (3584 + 3584) + 2 * (3584 + 512) + 3 * (3584 + 18944))
    assert size.adapters == 28 * per_layer == 40_370_176
    assert size.outside_layers == 2 * 152064 * 3584 + 3584
    assert size.key_value_numbers == 2 * 28 * 4 * 128


def test_one_gpu_holds_the_base_once_and_states_of_adapters_alone() -> None:
    config = load_config(LARGE / "one_gpu.toml")
    parts = estimate(config, 1, 80, model_config=qwen_7b())
    assert parts["weights"] == pytest.approx((2 * N + 4 * 40_370_176) / GIB)
    assert parts["gradients"] == pytest.approx(4 * 40_370_176 / GIB)
    assert parts["optimiser"] == pytest.approx(8 * 40_370_176 / GIB)
    assert parts["vLLM"] == 40
    assert "reference" not in parts
    assert parts["total"] == pytest.approx(sum(parts.values()) / 2)
    assert parts["total"] < 75


def test_eight_gpus_hold_an_eighth_of_every_state() -> None:
    config = load_config(LARGE / "eight_gpus.toml")
    parts = estimate(config, 8, 80, model_config=qwen_7b())
    states = parts["weights"] + parts["gradients"] + parts["optimiser"]
    assert states == pytest.approx(16 * N / 8 / GIB)
    assert parts["gathered layers"] > 2 * parts["gradients"] / 8
    assert parts["total"] < 75
    alone = estimate(config, 1, 80, model_config=qwen_7b())
    assert alone["total"] > 120


def test_the_engine_has_room_for_the_samples_of_each_configuration() -> None:
    for name in ("one_gpu", "eight_gpus"):
        config = load_config(LARGE / f"{name}.toml")
        tokens = cached_tokens(config, 80, qwen_7b())
        share = config.policy.engine["gpu_memory_utilization"]
        by_hand = (share * 80 * GIB - 2 * N - 2 * GIB) / (2 * 2 * 28 * 4 * 128)
        assert tokens == int(by_hand)
        assert tokens > config.policy.rows * 1024


def small_run(**model: Any) -> RunConfig:
    tree = {"out": "", "env": {"id": "x"}, "budget": {"updates": 1}, "log": {"kl_every": 5}}
    return make_config({**tree, "model": {"path": "x", **model}})


def test_a_reference_is_a_second_model_and_adapters_have_none() -> None:
    size = qwen_7b()
    whole = estimate(small_run(), 1, 80, model_config=size)
    assert whole["reference"] == whole["weights"]
    assert "reference" not in estimate(small_run(lora={}), 1, 80, model_config=size)


def test_sharded_weights_are_sampled_from_by_a_whole_copy_without_vllm() -> None:
    parts = estimate(small_run(parallel="fsdp"), 4, 80, model_config=qwen_7b())
    assert parts["copy that samples"] == pytest.approx(4 * N / GIB)
    assert parts["weights"] == pytest.approx(N / GIB)


@pytest.mark.parametrize("recompute", [False, True], ids=["kept", "recomputed"])
def test_activations_are_what_autograd_keeps(tmp_path: Path, recompute: bool) -> None:
    config = transformers.Qwen2Config(
        hidden_size=128,
        intermediate_size=192,
        num_hidden_layers=8,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    tokenizer = character_tokenizer("abcdefgh")
    build(config, tokenizer, seed=0).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    settings = small_run(path=str(tmp_path), device="cpu", gradient_checkpointing=recompute).model
    model = load_policy(settings, 0, None).model
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, int] = {}
    alive: list[torch.Tensor] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)
        return tensor

    decoder = make_decoder(model)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        decoder.token_logprobs([[3] * 200], [Continuation(0, 200, [4] * 20)] * 10)
    expected = kept_activations(model_size(config), 400, recompute)
    assert sum(kept.values()) == pytest.approx(expected, rel=0.35)
