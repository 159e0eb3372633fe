"""What a run trains: activations recomputed, adapters beside their base, bfloat16, copies."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from srl_agents.models.small import build, character_tokenizer
from srl_agents.nn.score import PlainDecoder, SharedPrefixDecoder
from srl_agents.objectives import GRPO
from srl_agents.objectives.batch import Batch, TrainingBatches
from srl_agents.objectives.loss import completion_weights, kl_estimate
from srl_agents.policies import TransformersPolicy
from srl_agents.policies.loading import Copy
from srl_agents.policies.sampler import Training
from srl_agents.policies.trained import load_policy, load_reference
from srl_agents.runs.config import (
    LoraConfig,
    ModelConfig,
    OptimizerConfig,
    PolicyConfig,
    make_config,
)
from srl_agents.runs.settings import merged
from srl_agents.training.learner import Learner
from srl_agents.training.run import train
from tests.srl_agents import letters

TOKENIZER = character_tokenizer("0123456789abcdefghijklmnopqrst+-*,:?>();#")
FORMS: dict[str, Any] = {
    "qwen2": transformers.Qwen2Config(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.2,
    ),
    "gpt2": transformers.GPT2Config(n_embd=32, n_layer=3, n_head=4, initializer_range=0.2),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return saved("qwen2", tmp_path)


def saved(form: str, tmp_path: Path) -> Path:
    build(copy.deepcopy(FORMS[form]), TOKENIZER, seed=0).save_pretrained(tmp_path / form)
    TOKENIZER.save_pretrained(tmp_path / form)
    return tmp_path / form


def settings(folder: Path, **changes: Any) -> ModelConfig:
    return ModelConfig(path=str(folder), device="cpu", **changes)


def batch() -> Batch:
    prompts = ((5, 6, 7, 8), (5, 6, 7, 8), (5, 6, 7, 8, 9, 10))
    completions = ((11, 12), (13, 14, 15), (16,))
    weights = completion_weights(torch.tensor([2, 3, 1]), torch.arange(3))
    advantages = torch.tensor([1.0, -0.5, 0.25], dtype=torch.float64)
    sampled = tuple(tuple([-3.0] * len(ids)) for ids in completions)
    return Batch(prompts, completions, advantages, weights, sampled)


def gradient(policy: TransformersPolicy) -> Tensor:
    learner = Learner(policy.model, OptimizerConfig(max_grad_norm=1e9), decoder=policy.decoder)
    learner.update(TrainingBatches((batch(),)), GRPO(), lr=0.0)
    return torch.cat([p.grad.flatten() for p in learner.parameters if p.grad is not None])


# Activations recomputed


@pytest.mark.parametrize(
    ("form", "decoder", "part", "lora"),
    [
        ("qwen2", SharedPrefixDecoder, "down_proj", None),
        ("qwen2", SharedPrefixDecoder, "down_proj", LoraConfig(rank=2)),
        ("gpt2", PlainDecoder, "c_fc", None),
    ],
    ids=["shared prefixes", "shared prefixes, lora", "plain forward pass"],
)
def test_recomputed_activations_give_the_same_gradient(
    tmp_path: Path, form: str, decoder: type, part: str, lora: LoraConfig | None
) -> None:
    folder, found, computed = saved(form, tmp_path), {}, {}
    for recompute in (False, True):
        policy = load_policy(settings(folder, gradient_checkpointing=recompute, lora=lora), 0, None)
        assert type(policy.decoder) is decoder
        calls: list[int] = []
        for name, module in policy.model.named_modules():
            if name.endswith(part):
                module.register_forward_pre_hook(lambda *_, calls=calls: calls.append(1))
        found[recompute], computed[recompute] = gradient(policy), len(calls)
    assert found[False].abs().max() > 1e-3
    torch.testing.assert_close(found[True], found[False], atol=1e-5, rtol=1e-4)
    assert computed == {False: 3, True: 6}


def test_a_policy_that_recomputes_samples_as_one_that_does_not(folder: Path) -> None:
    from srl_env.policy import Sampling

    texts = []
    for recompute in (False, True):
        policy = load_policy(settings(folder, gradient_checkpointing=recompute), 0, None)
        made = policy.generate([[{"role": "user", "content": "ab"}]] * 4, Sampling(max_tokens=9))
        texts.append([generation.token_ids for generation in made])
    assert texts[0] == texts[1]


# Adapters


def moved_adapters(policy: TransformersPolicy) -> None:
    """Adapters as after some training: their second factors are no longer 0."""
    generator = torch.Generator().manual_seed(3)
    for name, parameter in policy.model.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(0, 0.3, generator=generator)


def test_the_reference_of_adapters_is_the_base_without_them(folder: Path) -> None:
    config = settings(folder, lora=LoraConfig(rank=4))
    policy = load_policy(config, 0, None)
    base = TransformersPolicy.from_pretrained(folder, device="cpu")
    learner = Learner(
        policy.model,
        OptimizerConfig(),
        decoder=policy.decoder,
        reference=load_reference(config, policy),
    )
    first = learner.update(TrainingBatches((batch(),)), GRPO(), lr=0.0, measure_kl=True)
    assert first["kl_to_start"] == 0.0
    moved_adapters(policy)
    policy.weights_changed()
    later = learner.update(TrainingBatches((batch(),)), GRPO(), lr=0.0, measure_kl=True)
    rows = batch().prompts, batch().completions
    with torch.no_grad():
        adapted, mask, _ = policy.logprobs(*rows)
        plain, _, _ = base.logprobs(*rows)
    assert not torch.allclose(adapted, plain, atol=0.05)
    by_hand = kl_estimate(adapted, plain)[mask].mean().item()
    assert later["kl_to_start"] == pytest.approx(by_hand, rel=1e-3)
    assert by_hand > 0.01


def test_the_kl_of_a_run_on_adapters_is_zero_before_the_first_update(
    base: Path, tmp_path: Path
) -> None:
    lines = run(base, tmp_path, model={"lora": {"rank": 2}})
    assert lines[0]["kl_to_start"] == 0.0
    assert lines[-1]["kl_to_start"] > 0.0


# bfloat16


def run(base: Path, tmp_path: Path, **changes: Any) -> list[dict[str, Any]]:
    """The numbers of three updates."""
    tree = merged(letters.settings(base, tmp_path / "run"), {"budget": {"updates": 3}})
    train(make_config(merged(tree, {"log": {"kl_every": 1}} | changes)))
    return letters.updates(tmp_path / "run")


def test_adapters_in_fp32_are_trained_on_a_base_in_bfloat16(base: Path, tmp_path: Path) -> None:
    lines = run(base, tmp_path, model={"dtype": "bfloat16", "lora": {"rank": 2}})
    assert all(0 < line["grad_norm"] < 1e3 for line in lines)
    assert all(line["sampler_gap"] < 0.1 for line in lines)
    config = settings(base, dtype="bfloat16", lora=LoraConfig(rank=2))
    policy = load_policy(config, 0, sorted((tmp_path / "run/checkpoints").iterdir())[-1])
    dtypes = {p.dtype for p in policy.model.parameters() if p.requires_grad}
    assert dtypes == {torch.float32}
    assert policy.model.get_input_embeddings().weight.dtype == torch.bfloat16


def test_weights_in_fp32_are_trained_with_products_in_bfloat16(base: Path, tmp_path: Path) -> None:
    lines = run(base, tmp_path, model={"autocast": True, "gradient_checkpointing": True})
    assert all(0 < line["grad_norm"] < 1e3 for line in lines)
    assert all(line["sampler_gap"] < 0.1 for line in lines)
    found = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "run/model", dtype="auto")
    assert found.dtype == torch.float32


def test_the_gradient_in_bfloat16_is_close_to_that_in_fp32(folder: Path) -> None:
    exact = gradient(load_policy(settings(folder), 0, None))
    policy = load_policy(settings(folder, autocast=True), 0, None)
    learner = Learner(
        policy.model, OptimizerConfig(max_grad_norm=1e9), autocast=True, decoder=policy.decoder
    )
    learner.update(TrainingBatches((batch(),)), GRPO(), lr=0.0)
    coarse = torch.cat([p.grad.flatten() for p in learner.parameters if p.grad is not None])
    assert coarse.dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(exact, coarse, dim=0) > 0.99


# Copies


def test_a_copy_takes_the_weights_it_is_given(folder: Path) -> None:
    trained = load_policy(settings(folder), 0, None)
    engine = Copy.for_training(Training(PolicyConfig(), settings(folder), seed=1))
    with torch.no_grad():
        for parameter in trained.model.parameters():
            parameter.add_(0.1)
    before = engine.logprobs(batch().prompts, batch().completions)[0]
    engine.push_weights(trained.model)
    after = engine.logprobs(batch().prompts, batch().completions)[0]
    assert not torch.allclose(before, after, atol=0.01)
    expected = trained.logprobs(batch().prompts, batch().completions)[0]
    torch.testing.assert_close(after, expected, atol=1e-5, rtol=1e-5)
    assert not any(parameter.requires_grad for parameter in engine.model.parameters())
