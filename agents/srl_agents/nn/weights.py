"""A network's weights as a sampler wants them: few, large matrices, made anew for each call.

For small models queries, keys and values become one matrix, gate and up another, adapters
are added in, norm weights are folded into what follows them, and the attention scale into
the queries. Large models, and layers that are not plain or LoRA linear maps, keep their own
modules: copying them would cost more than it saves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from srl_agents.nn.layers import rms_norm
from srl_agents.nn.network import Attention, Layer, Map, Network, RMSNorm, ShortConv

_FUSE_BELOW = 50_000_000  # parameters


@dataclass(frozen=True, slots=True)
class AttentionWeights:
    """mix_in gives queries, keys and values next to each other; queries come out scaled.

    norm: RMS norm over each head of queries and keys, weight (heads + key heads, d), or None.
    """

    mix_in: Map
    mix_out: Map
    norm: RMSNorm | None
    window: int | None


@dataclass(frozen=True, slots=True)
class ConvWeights:
    """taps: (K, hidden), the first for the token itself, the next for the one before it."""

    mix_in: Map
    mix_out: Map
    taps: Tensor
    bias: Tensor | None


@dataclass(frozen=True, slots=True)
class LayerWeights:
    """One layer: h += mixer(norm(h)); h += down(act(gate) * up), gate and up in one map."""

    mixer_norm: Map
    mixer: AttentionWeights | ConvWeights
    feed_norm: Map
    gate_up: Map
    down: Map
    activation: Map


@dataclass(frozen=True, slots=True)
class Weights:
    """All a sampler needs of a network, as functions of hidden states."""

    embed: Map
    layers: tuple[LayerWeights, ...]
    norm: Map
    head: Map


def prepare(network: Network) -> Weights:
    """The weights as they are now; call again after they change."""
    fuse = _worth_fusing(network)
    layer_weights = _fused_layer if fuse else _separate_layer
    head = _linear(network.head) if fuse else None
    return Weights(
        embed=network.embed,
        layers=tuple(layer_weights(layer, network) for layer in network.layers),
        norm=_normed(network.norm) if head is None else _unit_norm(network.norm),
        head=network.head if head is None else _product(_folded([head], network.norm)),
    )


def _worth_fusing(network: Network) -> bool:
    modules = [module for layer in network.layers for module in _linear_modules(layer)]
    parameters = [p for module in modules for p in module.parameters()]
    return (
        sum(p.numel() for p in parameters) < _FUSE_BELOW
        and all(p.dtype == torch.float32 for p in parameters)
        and all(_linear(module) is not None for module in modules)
    )


def _linear_modules(layer: Layer) -> list[nn.Module]:
    mixer = layer.mixer
    of_mixer = [mixer.into] if isinstance(mixer, ShortConv) else [mixer.query, mixer.key]
    if isinstance(mixer, Attention):
        of_mixer.append(mixer.value)
    return [*of_mixer, mixer.out, layer.gate, layer.up, layer.down]


def _fused_layer(layer: Layer, network: Network) -> LayerWeights:
    mixer = layer.mixer
    if isinstance(mixer, ShortConv):
        mix_in = _folded([_plain(mixer.into)], layer.mixer_norm)
    else:
        query, scale = _plain(mixer.query), _query_scale(mixer, network)
        scaled = _Linear(query.weight * scale, None if query.bias is None else query.bias * scale)
        mix_in = _folded([scaled, _plain(mixer.key), _plain(mixer.value)], layer.mixer_norm)
    return LayerWeights(
        mixer_norm=_unit_norm(layer.mixer_norm),
        mixer=_mixer(mixer, network, _product(mix_in), _product(_plain(mixer.out))),
        feed_norm=_unit_norm(layer.feed_norm),
        gate_up=_product(_folded([_plain(layer.gate), _plain(layer.up)], layer.feed_norm)),
        down=_product(_plain(layer.down)),
        activation=layer.activation,
    )


def _separate_layer(layer: Layer, network: Network) -> LayerWeights:
    mixer = layer.mixer
    if isinstance(mixer, ShortConv):
        mix_in: Map = mixer.into
    else:
        scale = _query_scale(mixer, network)
        mix_in = _joined([mixer.query, mixer.key, mixer.value], scale)
    return LayerWeights(
        mixer_norm=_normed(layer.mixer_norm),
        mixer=_mixer(mixer, network, mix_in, mixer.out),
        feed_norm=_normed(layer.feed_norm),
        gate_up=_joined([layer.gate, layer.up]),
        down=layer.down,
        activation=layer.activation,
    )


def _mixer(
    mixer: Attention | ShortConv, network: Network, mix_in: Map, mix_out: Map
) -> AttentionWeights | ConvWeights:
    if isinstance(mixer, ShortConv):
        taps = mixer.conv.weight[:, 0].flip(1).t().contiguous()
        return ConvWeights(mix_in, mix_out, taps, mixer.conv.bias)
    return AttentionWeights(mix_in, mix_out, _head_norm(mixer, network), mixer.window)


def _query_scale(attention: Attention, network: Network) -> float:
    """What multiplies the projected queries: 1 where a norm follows, which takes the scale."""
    return 1.0 if attention.query_norm is not None else network.head_dim**-0.5


def _head_norm(attention: Attention, network: Network) -> RMSNorm | None:
    """One norm for query heads (scaled) and key heads together."""
    query, key = attention.query_norm, attention.key_norm
    if query is None or key is None:
        return None
    scaled = query.weight * network.head_dim**-0.5
    weight = torch.cat([scaled.expand(network.heads, -1), key.weight.expand(network.key_heads, -1)])
    return RMSNorm(weight, query.eps)


@dataclass(frozen=True, slots=True)
class _Linear:
    """x @ weight.T + bias."""

    weight: Tensor
    bias: Tensor | None


def _linear(module: nn.Module) -> _Linear | None:
    """A linear module's weight with its active LoRA adapters added, or None for others."""
    if module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module):
        return None  # somebody has changed what it does
    if type(module) is nn.Linear:
        return _Linear(module.weight, module.bias)
    lora: Any = module
    base = _linear(lora.base_layer) if hasattr(module, "get_delta_weight") else None
    if base is None:
        return None
    if lora.disable_adapters:
        return None if lora.merged else base
    weight = base.weight
    for name in [] if lora.merged else lora.active_adapters:
        if name not in lora.lora_A:
            continue
        if name in lora.lora_variant or lora.lora_bias.get(name):
            return None
        weight = weight + lora.get_delta_weight(name)
    return _Linear(weight, base.bias)


def _plain(module: nn.Module) -> _Linear:
    linear = _linear(module)
    assert linear is not None, "fused layers are made of linear maps only"
    return linear


def _product(linear: _Linear) -> Map:
    """The map of rows (N, inputs), its weight laid out by inputs: a tenth faster for few rows."""
    weight, bias = linear.weight.t().contiguous(), linear.bias
    if bias is None:
        return lambda x: x @ weight
    return lambda x: torch.addmm(bias, x, weight)


def _normed(norm: RMSNorm) -> Map:
    """The norm itself."""
    return lambda hidden: rms_norm(norm, hidden)


def _unit_norm(norm: RMSNorm) -> Map:
    """The norm without its weight and the factor sqrt(d), both of which ``_folded`` takes over.

    x / sqrt(mean(x²) + eps) = sqrt(d) * x / hypot(|x|, sqrt(d * eps)), in a third of the time.
    """
    floor = (norm.eps * norm.weight.new_tensor(len(norm.weight))).sqrt()

    def unit(hidden: Tensor) -> Tensor:
        return hidden / torch.hypot(torch.linalg.vector_norm(hidden, dim=-1, keepdim=True), floor)

    return unit


def _folded(maps: Sequence[_Linear], norm: RMSNorm) -> _Linear:
    """The maps in one, over what ``_unit_norm`` gives."""
    weight = torch.cat([each.weight for each in maps]) * (norm.weight * len(norm.weight) ** 0.5)
    if all(each.bias is None for each in maps):
        return _Linear(weight, None)
    biases = [
        each.weight.new_zeros(len(each.weight)) if each.bias is None else each.bias for each in maps
    ]
    return _Linear(weight, torch.cat(biases))


def _joined(maps: Sequence[Map], scale_first: float = 1.0) -> Map:
    """The maps' results next to each other, the first one scaled."""

    def join(x: Tensor) -> Tensor:
        parts = [each(x) for each in maps]
        if scale_first != 1.0:
            parts[0] = parts[0] * scale_first
        return torch.cat(parts, -1)

    return join
