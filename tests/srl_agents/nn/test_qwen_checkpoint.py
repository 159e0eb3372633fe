"""A tiny checkpoint in the very form of Qwen2.5's: loaded, sampled from, trained, saved.

Weights in bfloat16, in several files with an index; a vocabulary larger than the tokenizer's; two
tokens that end a text, and sampling settings of its own in ``generation_config.json``; the chat
template in ``tokenizer_config.json``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from srl_agents.nn.score import SharedPrefixDecoder
from srl_agents.policies import TransformersPolicy
from srl_agents.runs.config import make_config
from srl_agents.training.run import train
from srl_env.policy import Sampling
from srl_env.text.prompt import Message

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = (
    "{%- if messages[0]['role'] == 'system' %}"
    "{{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}"
    "{%- else %}{{- '<|im_start|>system\\nYou are Qwen.<|im_end|>\\n' }}{%- endif %}"
    "{%- for message in messages %}"
    "{%- if message.role != 'system' or not loop.first %}"
    "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}"
    "{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
VOCABULARY = 384  # the tokenizer has fewer, as Qwen's
MESSAGES: list[Message] = [{"role": "user", "content": "Janet has 3 eggs. How many?"}]


@pytest.fixture(params=[True, False], ids=["tied", "untied"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The checkpoint; Qwen2.5 ties its embeddings up to 3B."""
    return write_checkpoint(tmp_path / "Qwen2.5-tiny", tied=request.param)


def write_checkpoint(folder: Path, tied: bool) -> Path:
    tokenizer = _tokenizer()
    config = transformers.Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        rope_theta=1000000.0,
        rms_norm_eps=1e-6,
        tie_word_embeddings=tied,
        initializer_range=0.2,
        bos_token_id=tokenizer.convert_tokens_to_ids("<|endoftext|>"),
        eos_token_id=tokenizer.convert_tokens_to_ids("<|im_end|>"),
    )
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            parameter.data.normal_(0, 0.3)
    model.save_pretrained(folder, max_shard_size="100KB")
    tokenizer.save_pretrained(folder)
    _as_qwen_does(folder, tokenizer)
    return folder


def _tokenizer() -> Any:
    """Byte-level BPE with Qwen's marks."""
    plain = Tokenizer(models.BPE())
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=alphabet, show_progress=False, special_tokens=SPECIAL
    )
    plain.train_from_iterator(["Janet has 3 eggs. How many has she?"] * 3, trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=plain,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        clean_up_tokenization_spaces=False,
    )


def _as_qwen_does(folder: Path, tokenizer: Any) -> None:
    """Chat template and sampling settings where Qwen's repositories have them."""
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings |= {"chat_template": TEMPLATE, "tokenizer_class": "Qwen2Tokenizer", "bos_token": None}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    ends = [tokenizer.convert_tokens_to_ids(mark) for mark in ("<|im_end|>", "<|endoftext|>")]
    generation = {
        "bos_token_id": ends[1],
        "pad_token_id": ends[1],
        "do_sample": True,
        "eos_token_id": ends,
        "repetition_penalty": 1.05,
        "temperature": 0.7,
        "top_p": 0.8,
        "top_k": 20,
    }
    (folder / "generation_config.json").write_text(json.dumps(generation))


def plain_logprobs(model: Any, prompt: tuple[int, ...], completion: tuple[int, ...]) -> list[float]:
    """Of the completion's tokens by the model's own forward pass."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([[*prompt, *completion]])).logits.float()
    rows = logits.log_softmax(-1)[0, len(prompt) - 1 : -1]
    return [float(row[token]) for row, token in zip(rows, completion, strict=True)]


def test_the_checkpoint_has_qwens_form(folder: Path) -> None:
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    assert len(set(index["weight_map"].values())) > 1
    tied = json.loads((folder / "config.json").read_text())["tie_word_embeddings"]
    assert ("lm_head.weight" in index["weight_map"]) != tied
    assert json.loads((folder / "config.json").read_text())["dtype"] == "bfloat16"
    assert not (folder / "chat_template.jinja").exists()


def test_its_sampled_log_probs_are_those_of_a_plain_forward_pass(folder: Path) -> None:
    policy = TransformersPolicy.from_pretrained(folder, device="cpu", seed=1)
    assert isinstance(policy.decoder, SharedPrefixDecoder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    made = policy.generate([MESSAGES] * 8, Sampling(max_tokens=24))
    text = policy.tokenizer.decode(made[0].prompt_ids)
    assert text.startswith("<|im_start|>system\nYou are Qwen.<|im_end|>\n<|im_start|>user\nJanet")
    assert text.endswith("<|im_end|>\n<|im_start|>assistant\n")
    for generation in made:
        plain = plain_logprobs(model, generation.prompt_ids, generation.token_ids)
        assert list(generation.logprobs) == pytest.approx(plain, abs=1e-4)


def test_either_of_its_end_tokens_ends_a_completion(folder: Path) -> None:
    policy = TransformersPolicy.from_pretrained(folder, device="cpu", seed=1)
    ends = {policy.tokenizer.convert_tokens_to_ids(m) for m in ("<|im_end|>", "<|endoftext|>")}
    made = policy.generate([MESSAGES] * 400, Sampling(max_tokens=64, temperature=1e3))
    last = {generation.token_ids[-1] for generation in made if generation.finish_reason == "stop"}
    assert last == ends
    assert not any(ends & set(generation.token_ids[:-1]) for generation in made)


def test_in_its_own_bfloat16_it_is_loaded_and_sampled_too(folder: Path) -> None:
    policy = TransformersPolicy.from_pretrained(folder, device="cpu", dtype="auto", seed=1)
    assert policy.model.dtype == torch.bfloat16
    made = policy.generate([MESSAGES] * 4, Sampling(max_tokens=8))
    for generation in made:
        plain = plain_logprobs(policy.model, generation.prompt_ids, generation.token_ids)
        assert list(generation.logprobs) == pytest.approx(plain, abs=0.3)


@pytest.mark.parametrize("lora", [None, {"rank": 2}], ids=["all weights", "lora"])
def test_it_is_trained_for_an_update_and_saved_as_an_ordinary_folder(
    folder: Path, tmp_path: Path, lora: dict[str, Any] | None
) -> None:
    tree = {
        "out": str(tmp_path / "run"),
        "env": {"id": "srl/GSM8K-v0", "options": {"source": "sample"}},
        "model": {"path": str(folder), "device": "cpu", "threads": 1, "lora": lora},
        "method": "srl",
        "budget": {"updates": 1},
        "train": {
            "lr": 1e-2,
            "batch": 2,
            "objective": {"max_tokens": 8, "group_size": 8, "max_groups": 1, "min_std": 0.0},
        },
        "stages": {"srl": {"objective": {"reward_mode": "random"}}},
        "log": {"tensorboard": False, "kl_every": 0},
    }
    result = train(make_config(tree))
    assert result.metrics["grad_norm"] > 0
    assert result.metrics["sampler_gap"] < 1e-4
    before = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    after = transformers.AutoModelForCausalLM.from_pretrained(result.model)
    assert set(after.state_dict()) == set(before.state_dict())
    assert after.config.tie_word_embeddings == before.config.tie_word_embeddings
    assert after.generation_config.eos_token_id == before.generation_config.eos_token_id
    moved = [
        name
        for name, value in after.state_dict().items()
        if not torch.equal(value, before.state_dict()[name])
    ]
    assert moved
    policy = TransformersPolicy.from_pretrained(result.model, device="cpu", seed=1)
    assert policy.tokenizer.decode(policy.encode(MESSAGES)).startswith("<|im_start|>system\nYou")
