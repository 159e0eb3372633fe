"""vLLM's engine beside the model it is given the weights of; run by ``make test-vllm``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import peft
import pytest
import torch
import transformers

from srl_agents.models.small import build, character_tokenizer
from srl_agents.objectives import NLL
from srl_agents.objectives.batch import Batch, TrainingBatches
from srl_agents.policies import TransformersPolicy, VLLMPolicy
from srl_agents.policies.vllm.engine import engine_weights
from srl_agents.policies.vllm.worker import WeightReceiver
from srl_agents.runs.config import OptimizerConfig
from srl_agents.training.learner import Learner
from srl_env.errors import BadOption, MissingExtra, PolicyFailure
from srl_env.policy import Generation, Sampling
from srl_env.text.prompt import Message
from srl_env.text.stops import cut

# vLLM and what it imports warn of their own deprecations.
pytestmark = pytest.mark.filterwarnings("default")

ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789;:()=+- .,\n"
OPTIONS: dict[str, Any] = {"max_model_len": 256, "kv_cache_memory_bytes": 2**26, "rows": 64}
QUESTIONS = ("the quick brown fox: 12 + 30 = ", "a, b", "what is 7 - 5 (mod 3); " * 4)


def asked(*texts: str) -> list[list[Message]]:
    return [[{"role": "user", "content": text}] for text in texts]


def make_model(tied: bool = True) -> Any:
    """Weights so large that the tokens' probabilities differ, and mistakes show."""
    config = transformers.LlamaConfig(
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        tie_word_embeddings=tied,
        initializer_range=0.2,
    )
    return build(config, character_tokenizer(ALPHABET), seed=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tied")
    make_model().save_pretrained(folder)
    character_tokenizer(ALPHABET).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def engine(folder: Path) -> Iterator[VLLMPolicy]:
    pytest.importorskip("vllm")
    policy = VLLMPolicy(folder, dtype="float32", seed=1, **OPTIONS)
    yield policy
    policy.close()


@pytest.fixture
def ours(engine: VLLMPolicy) -> TransformersPolicy:
    """The same model without vLLM; the engine has its weights."""
    policy = TransformersPolicy(make_model(), character_tokenizer(ALPHABET))
    engine.push_weights(policy.model)
    return policy


def sampled(policy: Any, sampling: Sampling, *texts: str) -> list[Generation]:
    found = policy.generate(asked(*(texts or QUESTIONS)), sampling)
    assert all(isinstance(generation, Generation) for generation in found)
    return list(found)


def gap(found: list[Generation], policy: TransformersPolicy, temperature: float = 1.0) -> float:
    """The largest difference between reported log-probs and those of the model, in nats."""
    prompts, rows = [g.prompt_ids for g in found], [g.token_ids for g in found]
    with torch.no_grad():
        expected, mask, _ = policy.logprobs(prompts, rows, temperature)
    reported = torch.zeros_like(expected)
    for i, generation in enumerate(found):
        reported[i, : len(generation.logprobs)] = torch.tensor(generation.logprobs)
    return float((reported - expected).where(mask, 0.0).abs().max())


def one_update(learner: Learner, engine: VLLMPolicy) -> None:
    """A large step of fine-tuning on a text."""
    prompts = engine.encode_many(asked(*QUESTIONS))
    completions = engine.encode_many(asked("12+30=42\n", "abc", "2"))
    weights = torch.full((3,), 1 / 13, dtype=torch.float64)
    rows = (tuple(map(tuple, prompts)), tuple(map(tuple, completions)))
    batch = Batch(*rows, torch.zeros(3, dtype=torch.float64), weights)
    learner.update(TrainingBatches((batch,)), NLL(), lr=0.02)


@pytest.mark.parametrize("temperature", [1.0, 0.6, 0.0])
def test_logprobs_are_those_of_the_model_at_the_sampling_temperature(
    engine: VLLMPolicy, ours: TransformersPolicy, temperature: float
) -> None:
    found = sampled(engine, Sampling(temperature, max_tokens=24))
    assert gap(found, ours, temperature or 1.0) < 1e-4


def test_greedy_generations_are_those_of_transformers(
    engine: VLLMPolicy, ours: TransformersPolicy
) -> None:
    whole = sampled(ours, Sampling(0.0, max_tokens=24))
    strings = tuple(generation.text[2:4] for generation in whole if len(generation.text) > 6)
    assert strings
    for stop in ((), strings):
        sampling = Sampling(0.0, max_tokens=24, stop=stop)
        for theirs, mine in zip(sampled(engine, sampling), sampled(ours, sampling), strict=True):
            assert theirs.logprobs == pytest.approx(mine.logprobs, abs=1e-4)
            for name in ("text", "token_ids", "prompt_ids", "finish_reason"):
                assert getattr(theirs, name) == getattr(mine, name), name


def test_the_stop_string_stays_in_text_and_ids(
    engine: VLLMPolicy, ours: TransformersPolicy
) -> None:
    (whole,) = sampled(ours, Sampling(0.0, max_tokens=24), QUESTIONS[0])
    stop = whole.text[2:4]
    (cut,) = sampled(engine, Sampling(0.0, max_tokens=24, stop=(stop,)), QUESTIONS[0])
    assert cut.text == whole.text[: whole.text.find(stop) + 2]
    assert cut.token_ids == whole.token_ids[: len(cut.text)]
    assert len(cut.logprobs) == len(cut.token_ids)
    assert cut.finish_reason == "stop"


def test_a_stop_string_before_anything_visible_does_not_end_a_completion(
    engine: VLLMPolicy, ours: TransformersPolicy
) -> None:
    ours.model.model.norm.weight.data *= 0.01  # all letters are about as likely
    engine.push_weights(ours.model)
    how = Sampling(max_tokens=8, seeds=tuple(range(256)))
    whole = sampled(engine, how, *[QUESTIONS[1]] * 256)
    begins = [row for row, one in enumerate(whole) if one.text[:1] in (" ", "\n")]
    assert begins
    stopped = replace(how.of(begins), stop=(" ", "\n"))
    for row, made in zip(
        begins, sampled(engine, stopped, *[QUESTIONS[1]] * len(begins)), strict=True
    ):
        assert made.text == cut(whole[row].text, stopped.stop)
        assert made.token_ids == whole[row].token_ids[: len(made.token_ids)]
        assert made.text.strip() or len(made.token_ids) == 8


def test_the_token_that_ends_a_text_is_among_the_ids(
    engine: VLLMPolicy, ours: TransformersPolicy
) -> None:
    found = sampled(engine, Sampling(2.0, max_tokens=100), *[QUESTIONS[1]] * 32)
    ended = [generation for generation in found if generation.finish_reason == "stop"]
    assert ended
    assert all(generation.token_ids[-1] == 1 for generation in ended)
    assert all(1 not in generation.token_ids[:-1] for generation in found)
    assert all(len(g.token_ids) == 100 for g in found if g.finish_reason == "length")


def test_after_every_update_the_logprobs_are_those_of_the_new_weights(
    engine: VLLMPolicy, ours: TransformersPolicy
) -> None:
    learner = Learner(ours.model, OptimizerConfig())
    before = sampled(engine, Sampling(1.0, max_tokens=24))
    for _ in range(4):
        one_update(learner, engine)
        ours.weights_changed()
        assert gap(before, ours) > 0.05  # so that stale weights would show
        engine.push_weights(ours.model)
        before = sampled(engine, Sampling(1.0, max_tokens=24))
        assert gap(before, ours) < 1e-4


def test_without_tying_the_head_again_it_would_be_stale(
    engine: VLLMPolicy, ours: TransformersPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_update(Learner(ours.model, OptimizerConfig()), engine)
    ours.weights_changed()
    with monkeypatch.context() as left_out:
        left_out.setattr(WeightReceiver, "tie_head", lambda self: None)
        engine.push_weights(ours.model)
    assert gap(sampled(engine, Sampling(1.0, max_tokens=24)), ours) > 0.05
    engine.push_weights(ours.model)
    assert gap(sampled(engine, Sampling(1.0, max_tokens=24)), ours) < 1e-4


def test_a_shared_beginning_is_computed_once_and_forgotten_with_its_weights(
    engine: VLLMPolicy, ours: TransformersPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    reused: list[int] = []
    generate = engine.llm.generate

    def watched(*args: Any, **options: Any) -> Any:
        outputs = generate(*args, **options)
        reused.append(sum(output.num_cached_tokens for output in outputs))
        return outputs

    monkeypatch.setattr(engine.llm, "generate", watched)
    solution, few = "step 1: 3 + 4 = 7; step 2: " * 3, Sampling(max_tokens=2)
    sampled(engine, few, solution)
    sampled(engine, few, solution + "7 - 2 = ")
    engine.push_weights(ours.model)
    sampled(engine, few, solution + "7 - 2 = ")
    assert reused == [0, len(solution) // 32 * 32, 0]


def test_the_same_seeds_give_the_same_samples(engine: VLLMPolicy) -> None:
    state = engine.generator.get_state()
    first, second = (sampled(engine, Sampling(max_tokens=16)) for _ in range(2))
    engine.generator.set_state(state)
    again = sampled(engine, Sampling(max_tokens=16))
    assert [g.token_ids for g in again] == [g.token_ids for g in first]
    assert [g.token_ids for g in again] != [g.token_ids for g in second]


def test_equal_prompts_are_sampled_independently(engine: VLLMPolicy) -> None:
    found = sampled(engine, Sampling(max_tokens=16), *[QUESTIONS[0]] * 8)
    assert len({generation.token_ids for generation in found}) > 4


def test_a_prompt_that_fills_the_context_fails_alone(engine: VLLMPolicy) -> None:
    short, long = engine.generate(asked("a", "b" * 256), Sampling(max_tokens=4))
    assert isinstance(short, Generation)
    assert isinstance(long, PolicyFailure)
    assert "256" in str(long)
    (nearly,) = sampled(engine, Sampling(0.0, max_tokens=9), "b" * 250)
    assert len(nearly.token_ids) <= 6


def test_an_empty_prompt_is_refused(engine: VLLMPolicy) -> None:
    with pytest.raises(BadOption, match="at least one token"):
        engine.generate(asked(""), Sampling())


def test_a_temperature_that_vllm_does_not_take_is_refused(engine: VLLMPolicy) -> None:
    with pytest.raises(BadOption, match="vLLM's temperature must be at most 2; got 3"):
        engine.generate(asked("a"), Sampling(3.0))


def test_making_an_engine_leaves_the_number_of_threads_to_others(engine: VLLMPolicy) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_adapters_are_pushed_merged(engine: VLLMPolicy, ours: TransformersPolicy) -> None:
    settings = peft.LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    adapted: Any = peft.get_peft_model(ours.model, settings)
    for name, parameter in adapted.named_parameters():
        if "lora_" in name:
            parameter.data = 0.2 * torch.randn_like(parameter)
    policy = TransformersPolicy(adapted, ours.tokenizer)
    before = sampled(engine, Sampling(max_tokens=24))
    assert gap(before, policy) > 0.05
    engine.push_weights(adapted)
    assert gap(sampled(engine, Sampling(max_tokens=24)), policy) < 1e-4


def test_an_engine_with_lora_samples_with_the_adapters_that_it_is_handed(folder: Path) -> None:
    pytest.importorskip("vllm")
    tokenizer = character_tokenizer(ALPHABET)
    engine = VLLMPolicy(folder, dtype="float32", enable_lora=True, max_lora_rank=8, **OPTIONS)
    settings = peft.LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    adapted: Any = peft.get_peft_model(make_model(), settings)
    policy = TransformersPolicy(adapted, tokenizer)
    for _ in range(2):  # the second version takes the place of the first
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter.data = 0.2 * torch.randn_like(parameter)
        assert gap(sampled(engine, Sampling(max_tokens=24)), policy) > 0.05
        engine.push_weights(adapted)
        assert gap(sampled(engine, Sampling(max_tokens=24)), policy) < 1e-4
    assert (
        gap(sampled(engine, Sampling(max_tokens=24)), TransformersPolicy(make_model(), tokenizer))
        > 0.05
    )
    engine.close()


def test_the_weights_of_an_adapted_model_are_those_of_the_merged_one() -> None:
    settings = peft.LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
    adapted: Any = peft.get_peft_model(make_model(tied=False), settings)
    weights = dict(engine_weights(adapted))
    merged = dict(adapted.merge_and_unload().named_parameters())
    assert weights.keys() == merged.keys()
    for name, value in merged.items():
        np.testing.assert_allclose(weights[name].numpy(), value.detach().numpy(), atol=1e-6)


def test_a_tied_head_is_not_among_the_weights() -> None:
    assert "lm_head.weight" not in dict(engine_weights(make_model()))
    assert "lm_head.weight" in dict(engine_weights(make_model(tied=False)))


def test_a_model_with_a_head_of_its_own_is_pushed_whole(tmp_path: Path) -> None:
    pytest.importorskip("vllm")
    model, tokenizer = make_model(tied=False), character_tokenizer(ALPHABET)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    engine = VLLMPolicy(tmp_path, dtype="float32", **OPTIONS)
    for parameter in model.parameters():
        parameter.data = parameter.data + 0.1 * torch.randn_like(parameter)
    engine.push_weights(model)
    policy = TransformersPolicy(model, tokenizer)
    assert gap(sampled(engine, Sampling(max_tokens=24)), policy) < 1e-4
    engine.close()


def test_what_vllm_cannot_load_is_an_error_that_says_so(tmp_path: Path) -> None:
    pytest.importorskip("vllm")
    with pytest.raises(BadOption, match="vLLM cannot load"):
        VLLMPolicy(tmp_path)


def test_a_configuration_that_vllm_reads_otherwise_is_an_error_that_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def make(*_: Any, **__: Any) -> None:
        raise AttributeError("'Lfm2Config' object has no attribute 'conv_dim'")

    monkeypatch.setitem(sys.modules, "vllm", SimpleNamespace(LLM=make))
    with pytest.raises(BadOption, match="vLLM cannot load 'tiny': 'Lfm2Config' object has no"):
        VLLMPolicy("tiny")


def test_options_that_are_decided_here_are_refused() -> None:
    with pytest.raises(BadOption, match="logprobs_mode"):
        VLLMPolicy("anything", logprobs_mode="raw_logits")
    with pytest.raises(BadOption, match="OpenAIPolicy"):
        VLLMPolicy("anything", tensor_parallel_size=2)


def test_without_vllm_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(MissingExtra, match=r"srl-env\[vllm\]"):
        VLLMPolicy("anything")
