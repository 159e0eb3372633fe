"""Reads a ``Network`` off a Hugging Face model of a known family.

The network holds the model's own submodules, so that parameters, adapters and state dict stay
the model's.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from srl_agents.nn.head import Head
from srl_agents.nn.linear import Map
from srl_agents.nn.network import Attention, Layer, Network, RMSNorm, ShortConv
from srl_agents.parallel.sharding import is_sharded

FAMILIES = (
    "llama",
    "mistral",
    "qwen2",
    "qwen3",
    "smollm3",
    "granite",
    "phi3",
    "gemma2",
    "gemma3_text",
    "lfm2",
)
_LENGTH_DEPENDENT_ROPE = ("dynamic", "longrope")
_DROPOUTS = ("attention_dropout", "resid_pdrop", "embd_pdrop")


def causal_lm(model: nn.Module) -> nn.Module:
    """The causal language model inside a peft wrapper, or the model itself."""
    unwrap = getattr(model, "get_base_model", None)
    return unwrap() if callable(unwrap) else model


def unsupported(model: nn.Module) -> str | None:
    """Why a ``Network`` cannot replace this model's forward pass; None if it can."""
    config: Any = causal_lm(model).config
    if is_sharded(model):
        return "its weights are sharded over processes, and its own forward pass gathers them"
    if config.model_type not in FAMILIES:
        return f"its architecture is {config.model_type!r}"
    for kind in _rope_types(config):
        if kind in _LENGTH_DEPENDENT_ROPE:
            return f"its positions depend on the length ({kind} RoPE)"
    if any(getattr(config, name, 0.0) for name in _DROPOUTS):
        return "it uses dropout during training"
    if getattr(config, "use_bidirectional_attention", False):
        return "its attention sees later tokens"
    return None


def read_network(model: nn.Module) -> Network:
    """The parts of a model of one of FAMILIES."""
    outer: Any = causal_lm(model)
    config, inner = outer.config, outer.model
    lfm2 = config.model_type == "lfm2"
    read_layer = _lfm2_layer if lfm2 else _llama_layer
    return Network(
        embed=_embedding(outer.get_input_embeddings(), config),
        layers=tuple(read_layer(layer, config, i) for i, layer in enumerate(inner.layers)),
        norm=_norm(inner.embedding_norm if lfm2 else inner.norm),
        head=read_head(model),
        rotary=inner.rotary_emb,
    )


def read_head(model: nn.Module) -> Head:
    """The output head of a model of any architecture, as far as its configuration tells."""
    outer: Any = causal_lm(model)
    return Head(
        outer.get_output_embeddings(),
        divisor=float(getattr(outer.config, "logits_scaling", None) or 1.0),
        softcap=getattr(outer.config, "final_logit_softcapping", None),
    )


def _rope_types(config: Any) -> set[str]:
    """Of all layers; some families have one for each type of layer."""
    rope = getattr(config, "rope_parameters", None) or {}
    each = [part for part in rope.values() if isinstance(part, dict)] or [rope]
    return {part.get("rope_type", "default") for part in each}


def _embedding(module: Any, config: Any) -> Map:
    factor = getattr(config, "embedding_multiplier", 1.0)
    return module if factor == 1.0 else lambda ids: module(ids) * factor


def _llama_layer(layer: Any, config: Any, index: int) -> Layer:
    part, mlp = layer.self_attn, layer.mlp
    norms = (part.q_norm, part.k_norm) if hasattr(part, "q_norm") else ()
    into = (
        (part.qkv_proj,) if hasattr(part, "qkv_proj") else (part.q_proj, part.k_proj, part.v_proj)
    )
    whole = hasattr(mlp, "gate_up_proj")
    after: tuple[Any, ...] = (None, None)
    before_feed = layer.post_attention_layernorm
    if hasattr(layer, "pre_feedforward_layernorm"):  # Gemma norms what it adds
        before_feed = layer.pre_feedforward_layernorm
        after = (layer.post_attention_layernorm, layer.post_feedforward_layernorm)
    mixer_after, feed_after = (None if norm is None else _norm(norm) for norm in after)
    return Layer(
        mixer_norm=_norm(layer.input_layernorm),
        mixer=_attention(part, into, part.o_proj, norms, config, _window(config, index)),
        feed_norm=_norm(before_feed),
        gate_up=(mlp.gate_up_proj,) if whole else (mlp.gate_proj, mlp.up_proj),
        down=mlp.down_proj,
        activation=mlp.activation_fn if whole else mlp.act_fn,
        mixer_after=mixer_after,
        feed_after=feed_after,
        residual=float(getattr(config, "residual_multiplier", 1.0)),
        rotary=_rotary_kind(part, config, index),
    )


def _lfm2_layer(layer: Any, config: Any, index: int) -> Layer:
    mixer: Attention | ShortConv
    if layer.is_attention_layer:
        part = layer.self_attn
        norms = (part.q_layernorm, part.k_layernorm)
        into = (part.q_proj, part.k_proj, part.v_proj)
        mixer = _attention(part, into, part.out_proj, norms, config, None)
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
    part: Any,
    into: tuple[nn.Module, ...],
    out: nn.Module,
    norms: tuple[Any, ...],
    config: Any,
    window: int | None,
) -> Attention:
    heads = config.num_attention_heads
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // heads
    capped = config.model_type == "gemma2"  # Gemma 3 has the setting and does not use it
    return Attention(
        into=into,
        out=out,
        norms=tuple(_norm(norm) for norm in norms),
        heads=heads,
        key_heads=config.num_key_value_heads,
        head_dim=head_dim,
        scale=float(part.scaling),
        window=window,
        softcap=config.attn_logit_softcapping if capped else None,
    )


def _rotary_kind(part: Any, config: Any, index: int) -> str | None:
    """Which positions a layer has: none, its type's, or those of all layers."""
    if not getattr(part, "use_rope", True):
        return None
    kinds: list[str] = config.layer_types if config.model_type == "gemma3_text" else []
    return kinds[index] if kinds else ""


def _window(config: Any, index: int) -> int | None:
    """How many tokens back, itself included, a token sees in this layer; None for all."""
    types = getattr(config, "layer_types", None)
    if types is not None and types[index] != "sliding_attention":
        return None
    window: int | None = getattr(config, "sliding_window", None)
    return window


def _norm(module: Any) -> RMSNorm:
    around_one = not hasattr(module, "variance_epsilon")  # Gemma's
    eps = module.eps if around_one else module.variance_epsilon
    return RMSNorm(weight=module.weight, eps=eps, around_one=around_one)
