"""Tiny models of every family, with weights large enough that mistakes show; a short run; a full
disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from srl_agents.models.small import build, character_tokenizer
from tests.srl_agents import letters

ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789;:()=+- .,\n"
_SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.3,
}
_LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
_CONFIGS: dict[str, Callable[[], Any]] = {
    "llama": lambda: transformers.LlamaConfig(**_SIZES),
    "llama, biases, tied, llama3 rope": lambda: transformers.LlamaConfig(
        **_SIZES,
        attention_bias=True,
        mlp_bias=True,
        tie_word_embeddings=True,
        rope_parameters=_LLAMA3_ROPE,
    ),
    "mistral, window of 4": lambda: transformers.MistralConfig(
        **_SIZES, sliding_window=4, head_dim=16
    ),
    "qwen2": lambda: transformers.Qwen2Config(**_SIZES),
    "qwen3": lambda: transformers.Qwen3Config(**_SIZES, head_dim=16),
    "qwen3, window of 7 in some layers": lambda: transformers.Qwen3Config(
        **_SIZES, head_dim=16, use_sliding_window=True, sliding_window=7, max_window_layers=1
    ),
    "smollm3, a window of 5 and no positions in some layers": lambda: transformers.SmolLM3Config(
        **_SIZES,
        no_rope_layers=[1, 0, 1],
        use_sliding_window=True,
        sliding_window=5,
        layer_types=["full_attention", "sliding_attention", "sliding_attention"],
    ),
    "granite": lambda: transformers.GraniteConfig(
        **_SIZES,
        embedding_multiplier=3.0,
        attention_multiplier=0.2,
        residual_multiplier=0.4,
        logits_scaling=2.0,
        tie_word_embeddings=True,
    ),
    "phi3, a window of 6": lambda: transformers.Phi3Config(**_SIZES, sliding_window=6),
    "phi3, positions in half of each head": lambda: transformers.Phi3Config(
        **_SIZES | {"num_attention_heads": 2, "num_key_value_heads": 1},
        rope_parameters={
            "rope_type": "default",
            "rope_theta": 10000.0,
            "partial_rotary_factor": 0.5,
        },
    ),
    "gemma2": lambda: transformers.Gemma2Config(
        **_SIZES,
        head_dim=16,
        query_pre_attn_scalar=24,
        sliding_window=4,
        attn_logit_softcapping=3.0,
        final_logit_softcapping=5.0,
    ),
    "gemma3": lambda: transformers.Gemma3TextConfig(
        **_SIZES,
        head_dim=16,
        query_pre_attn_scalar=24,
        sliding_window=4,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
    ),
    "lfm2": lambda: transformers.Lfm2Config(
        **_SIZES, layer_types=["conv", "full_attention", "conv"], block_auto_adjust_ff_dim=False
    ),
    "lfm2, biases, kernel of 4": lambda: transformers.Lfm2Config(
        **_SIZES,
        layer_types=["conv", "conv", "full_attention"],
        block_auto_adjust_ff_dim=False,
        conv_bias=True,
        conv_L_cache=4,
    ),
}
FAMILIES = tuple(_CONFIGS)


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    """The name of a tiny model; a test that takes it runs once for each."""
    return str(request.param)


@pytest.fixture
def tokenizer() -> Any:
    """One token per character."""
    return character_tokenizer(ALPHABET)


@pytest.fixture
def make_model(tokenizer: Any) -> Callable[[str], Any]:
    """A function from a family's name to a tiny model for ``tokenizer``."""

    def make(name: str) -> Any:
        model = build(_CONFIGS[name](), tokenizer, seed=0)
        generator = torch.Generator().manual_seed(1)
        for parameter in model.parameters():  # biases and norms that differ from 0 and 1
            if parameter.ndim == 1:
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.data += 0.3 * noise
        return model

    return make


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny model with random weights, which writes letters."""
    return letters.save_base(tmp_path_factory.mktemp("base"))


@pytest.fixture
def tree(base: Path, tmp_path: Path) -> dict[str, Any]:
    """A run with a signal in every batch; see ``letters``."""
    return letters.settings(base, tmp_path / "run")
