"""Tokenizers and models made on the spot, as ordinary checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from srl_agents.models.small import CONFIGS, bpe_tokenizer, build, character_tokenizer
from srl_env.errors import BadOption, UnknownName


def test_each_character_is_a_token() -> None:
    tokenizer = character_tokenizer("ab\n ;")
    ids = tokenizer("a\n b;")["input_ids"]
    assert ids == [3, 5, 6, 4, 7]
    assert tokenizer.decode(ids) == "a\n b;"
    assert tokenizer("x")["input_ids"] == [tokenizer.unk_token_id]
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id, len(tokenizer)) == (0, 1, 8)


def test_characters_given_twice_count_once() -> None:
    assert len(character_tokenizer("abab")) == 5


@pytest.mark.parametrize("text", ["hello 123", "é 😀 漢字", "\t\n  two  spaces "])
def test_bytes_encode_any_text(text: str) -> None:
    tokenizer = bpe_tokenizer(["hello world"] * 3, 300)
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_frequent_words_become_tokens_and_digits_stay_single() -> None:
    tokenizer = bpe_tokenizer(["hello 1234"] * 5, 300)
    assert len(tokenizer("hello")["input_ids"]) == 1
    assert len(tokenizer("1234")["input_ids"]) == 4


@pytest.mark.parametrize("name", CONFIGS)
def test_a_checkpoint_reads_back_the_same(name: str, tmp_path: Path) -> None:
    tokenizer = character_tokenizer("abc;")
    model = build(name, tokenizer, seed=1)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    again: Any = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    read: Any = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert read("ab;")["input_ids"] == tokenizer("ab;")["input_ids"]
    assert model.config.eos_token_id == read.eos_token_id == 1
    for one, other in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


def test_seeds_decide_the_weights_and_the_global_generator_is_left_alone() -> None:
    tokenizer = character_tokenizer("abc;")
    before = torch.get_rng_state()
    one, same, other = (build("lfm2-0.3m", tokenizer, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    weights = [model.get_input_embeddings().weight for model in (one, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_mistakes_are_named() -> None:
    with pytest.raises(BadOption, match="alphabet must hold every character"):
        character_tokenizer("")
    with pytest.raises(BadOption, match="vocab_size must be at least 258; got 100"):
        bpe_tokenizer(["a"], 100)
    with pytest.raises(UnknownName, match="Did you mean 'llama-1m'"):
        build("lama-1m", character_tokenizer("a"), seed=0)
