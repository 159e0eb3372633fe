"""Reads a ``Network`` off a Hugging Face model of a known family.

The network holds the model's own submodules, so that parameters, adapters and state dict stay
the model's.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from srl_agents.nn.network import Attention, Layer, Network, RMSNorm, ShortConv
from srl_agents.parallel.sharding import is_sharded

FAMILIES = ("llama", "mistral", "qwen2", "qwen3", "lfm2")
_LENGTH_DEPENDENT_ROPE = ("dynamic", "longrope")


def causal_lm(model: nn.Module) -> nn.Module:
    """The causal language model inside a peft wrapper, or the model itself."""
    unwrap = getattr(model, "get_base_model", None)
    return unwrap() if callable(unwrap) else model


def unsupported(model: nn.Module) -> str | None:
    """Why a ``Network`` cannot replace this model's forward pass; None if it can."""
    config: Any = causal_lm(model).config
    rope = getattr(config, "rope_parameters", None) or {}
    if is_sharded(model):
        return "its weights are sharded over processes, and its own forward pass gathers them"
    if config.model_type not in FAMILIES:
        return f"its architecture is {config.model_type!r}"
    if rope.get("rope_type") in _LENGTH_DEPENDENT_ROPE:
        return f"its positions depend on the length ({rope['rope_type']} RoPE)"
    if getattr(config, "attention_dropout", 0.0):
        return "it drops attention weights during training"
    return None


def read_network(model: nn.Module) -> Network:
    """The parts of a model of one of FAMILIES."""
    outer: Any = causal_lm(model)
    config, inner = outer.config, outer.model
    lfm2 = config.model_type == "lfm2"
    read_layer = _lfm2_layer if lfm2 else _llama_layer
    return Network(
        embed=outer.get_input_embeddings(),
        layers=tuple(read_layer(layer, config, i) for i, layer in enumerate(inner.layers)),
        norm=_norm(inner.embedding_norm if lfm2 else inner.norm),
        head=outer.get_output_embeddings(),
        rotary=inner.rotary_emb,
    )


def _llama_layer(layer: Any, config: Any, index: int) -> Layer:
    part, mlp = layer.self_attn, layer.mlp
    norms = (part.q_norm, part.k_norm) if hasattr(part, "q_norm") else ()
    return Layer(
        mixer_norm=_norm(layer.input_layernorm),
        mixer=_attention(part, part.o_proj, norms, config, _window(config, index)),
        feed_norm=_norm(layer.post_attention_layernorm),
        gate_up=(mlp.gate_proj, mlp.up_proj),
        down=mlp.down_proj,
        activation=mlp.act_fn,
    )


def _lfm2_layer(layer: Any, config: Any, index: int) -> Layer:
    mixer: Attention | ShortConv
    if layer.is_attention_layer:
        part = layer.self_attn
        norms = (part.q_layernorm, part.k_layernorm)
        mixer = _attention(part, part.out_proj, norms, config, None)
    else:
        mixer = ShortConv(into=(layer.conv.in_proj,), out=layer.conv.out_proj, conv=layer.conv.conv)
    feed = layer.feed_forward
    return Layer(
        mixer_norm=_norm(layer.operator_norm),
        mixer=mixer,
        feed_norm=_norm(layer.ffn_norm),
        gate_up=(feed.w1, feed.w3),
        down=feed.w2,
        activation=torch.nn.functional.silu,
    )


def _attention(
    part: Any, out: nn.Module, norms: tuple[Any, ...], config: Any, window: int | None
) -> Attention:
    heads = config.num_attention_heads
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // heads
    return Attention(
        into=(part.q_proj, part.k_proj, part.v_proj),
        out=out,
        norms=tuple(_norm(norm) for norm in norms),
        heads=heads,
        key_heads=config.num_key_value_heads,
        head_dim=head_dim,
        scale=head_dim**-0.5,
        window=window,
    )


def _window(config: Any, index: int) -> int | None:
    """How many tokens back, itself included, a token sees in this layer; None for all."""
    types = getattr(config, "layer_types", None)
    if types is not None and types[index] != "sliding_attention":
        return None
    window: int | None = getattr(config, "sliding_window", None)
    return window


def _norm(module: Any) -> RMSNorm:
    return RMSNorm(weight=module.weight, eps=module.variance_epsilon)
