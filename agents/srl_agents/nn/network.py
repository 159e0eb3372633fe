"""What the supported architectures have in common, read off a Hugging Face model.

Llama, Mistral, Qwen2, Qwen3 and LFM2 are one pre-norm decoder with small differences:
biases, norms on queries and keys, sliding windows, short convolutions in place of
attention. A ``Network`` names the model's own submodules by their part in it, so that
parameters, adapters and state dict stay the model's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from srl_agents.parallel.sharding import is_sharded

Map = Callable[[Tensor], Tensor]
FAMILIES = ("llama", "mistral", "qwen2", "qwen3", "lfm2")
_LENGTH_DEPENDENT_ROPE = ("dynamic", "longrope")


@dataclass(frozen=True, slots=True)
class RMSNorm:
    """A root-mean-square norm: its weight (d,) and its epsilon."""

    weight: Tensor
    eps: float


@dataclass(frozen=True, slots=True)
class Attention:
    """Projections of one attention layer; norms act on each head where they exist."""

    query: nn.Module
    key: nn.Module
    value: nn.Module
    out: nn.Module
    query_norm: RMSNorm | None
    key_norm: RMSNorm | None
    window: int | None


@dataclass(frozen=True, slots=True)
class ShortConv:
    """LFM2's gated short convolution: B, C, x = in(h); out(C * conv(B * x))."""

    into: nn.Module
    out: nn.Module
    conv: nn.Conv1d


@dataclass(frozen=True, slots=True)
class Layer:
    """x += mixer(norm(x)); x += down(act(gate(norm(x))) * up(norm(x)))."""

    mixer_norm: RMSNorm
    mixer: Attention | ShortConv
    feed_norm: RMSNorm
    gate: nn.Module
    up: nn.Module
    down: nn.Module
    activation: Map


@dataclass(frozen=True, slots=True)
class Network:
    """A decoder as its parts. Sizes: heads, key_heads (grouped queries), head_dim."""

    embed: nn.Module
    layers: tuple[Layer, ...]
    norm: RMSNorm
    head: nn.Module
    rotary: nn.Module
    heads: int
    key_heads: int
    head_dim: int
    hidden: int


def causal_lm(model: nn.Module) -> nn.Module:
    """The causal language model inside a peft wrapper, or the model itself."""
    unwrap = getattr(model, "get_base_model", None)
    return unwrap() if callable(unwrap) else model


def unsupported(model: nn.Module) -> str | None:
    """Why the shared-prefix decoder cannot stand in for this model, or None if it may."""
    config: Any = causal_lm(model).config
    rope = getattr(config, "rope_parameters", None) or {}
    if is_sharded(model):
        return "its weights are spread over processes, and put together by its own forward pass"
    if config.model_type not in FAMILIES:
        return f"its architecture is {config.model_type!r}"
    if rope.get("rope_type") in _LENGTH_DEPENDENT_ROPE:
        return f"its positions depend on the length ({rope['rope_type']} RoPE)"
    if getattr(config, "attention_dropout", 0.0):
        return "it drops attention weights out while training"
    return None


def read_network(model: nn.Module) -> Network:
    """The parts of a model of one of FAMILIES."""
    outer: Any = causal_lm(model)
    config, inner = outer.config, outer.model
    read_layer = _lfm2_layer if config.model_type == "lfm2" else _llama_layer
    norm = inner.embedding_norm if config.model_type == "lfm2" else inner.norm
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return Network(
        embed=outer.get_input_embeddings(),
        layers=tuple(read_layer(layer, config, i) for i, layer in enumerate(inner.layers)),
        norm=_norm(norm),
        head=outer.get_output_embeddings(),
        rotary=inner.rotary_emb,
        heads=config.num_attention_heads,
        key_heads=config.num_key_value_heads,
        head_dim=head_dim,
        hidden=config.hidden_size,
    )


def _llama_layer(layer: Any, config: Any, index: int) -> Layer:
    attention, mlp = layer.self_attn, layer.mlp
    return Layer(
        mixer_norm=_norm(layer.input_layernorm),
        mixer=Attention(
            query=attention.q_proj,
            key=attention.k_proj,
            value=attention.v_proj,
            out=attention.o_proj,
            query_norm=_norm(attention.q_norm) if hasattr(attention, "q_norm") else None,
            key_norm=_norm(attention.k_norm) if hasattr(attention, "k_norm") else None,
            window=_window(config, index),
        ),
        feed_norm=_norm(layer.post_attention_layernorm),
        gate=mlp.gate_proj,
        up=mlp.up_proj,
        down=mlp.down_proj,
        activation=mlp.act_fn,
    )


def _lfm2_layer(layer: Any, config: Any, index: int) -> Layer:
    mixer: Attention | ShortConv
    if layer.is_attention_layer:
        attention = layer.self_attn
        mixer = Attention(
            query=attention.q_proj,
            key=attention.k_proj,
            value=attention.v_proj,
            out=attention.out_proj,
            query_norm=_norm(attention.q_layernorm),
            key_norm=_norm(attention.k_layernorm),
            window=None,
        )
    else:
        mixer = ShortConv(into=layer.conv.in_proj, out=layer.conv.out_proj, conv=layer.conv.conv)
    return Layer(
        mixer_norm=_norm(layer.operator_norm),
        mixer=mixer,
        feed_norm=_norm(layer.ffn_norm),
        gate=layer.feed_forward.w1,
        up=layer.feed_forward.w3,
        down=layer.feed_forward.w2,
        activation=torch.nn.functional.silu,
    )


def _window(config: Any, index: int) -> int | None:
    """How many tokens back, itself included, this layer sees; None for all of them."""
    types = getattr(config, "layer_types", None)
    if types is not None and types[index] != "sliding_attention":
        return None
    window: int | None = getattr(config, "sliding_window", None)
    return window


def _norm(module: Any) -> RMSNorm:
    return RMSNorm(weight=module.weight, eps=module.variance_epsilon)
