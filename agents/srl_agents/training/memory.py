"""The memory that a training needs on each GPU, by arithmetic.

    for part, gib in estimate(load_config("run.toml"), processes=8, gpu_gib=80).items(): …

The parts are those that grow with the model. Not included: CUDA's own memory (about 1 GiB),
fragments, and communication buffers. Nothing here was measured on a GPU; the activations agree with
what autograd keeps on a CPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from srl_agents.nn.head import LOGITS_AT_ONCE
from srl_agents.runs.config import LoraConfig, RunConfig

_GIB = 2**30
_FP32, _BF16 = 4, 2
_LOGITS_COPIES = 4  # logits, log-probabilities, their exponentials, the gradient
_ATTENTION_COPIES = 3  # scores, weights, the gradient


@dataclass(frozen=True, slots=True)
class ModelSize:
    """Numbers of a model. parameters: tied ones count once. adapters: trained in addition.

    key_value_numbers: of keys and values, for one token in all layers.
    """

    parameters: int
    adapters: int
    largest_layer: int
    outside_layers: int
    layers: int
    hidden: int
    intermediate: int
    heads: int
    vocabulary: int
    key_value_numbers: int


def model_size(model_config: Any, lora: LoraConfig | None = None) -> ModelSize:
    """The size of a model, without making it. model_config: a Hugging Face configuration.

    lora: counted as if it adapted all linear layers but the head, which is the maximum.
    """
    import transformers
    from transformers.modeling_layers import GradientCheckpointingLayer

    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(model_config)
    layers = [m for m in model.modules() if isinstance(m, GradientCheckpointingLayer)]
    in_layers = [_count(layer) for layer in layers]
    linear = [m for layer in layers for m in layer.modules() if isinstance(m, nn.Linear)]
    rank = 0 if lora is None else lora.rank
    heads = model_config.num_attention_heads
    head_dim = getattr(model_config, "head_dim", None) or model_config.hidden_size // heads
    return ModelSize(
        parameters=_count(model),
        adapters=sum(rank * (each.in_features + each.out_features) for each in linear),
        largest_layer=max(in_layers),
        outside_layers=_count(model) - sum(in_layers),
        layers=len(layers),
        hidden=model_config.hidden_size,
        intermediate=model_config.intermediate_size,
        heads=heads,
        vocabulary=model_config.vocab_size,
        key_value_numbers=2 * len(layers) * model_config.num_key_value_heads * head_dim,
    )


def estimate(
    config: RunConfig,
    processes: int,
    gpu_gib: float,
    *,
    context: int = 2048,
    model_config: Any = None,
) -> dict[str, float]:
    """{part: GiB on each GPU} of a run, and their sum as "total".

    processes: one per GPU. gpu_gib: a GPU's memory, of which vLLM takes a fraction. context:
    tokens of the longest prompt and completion. model_config: a Hugging Face configuration; None
    reads that of the run's model.
    """
    if model_config is None:
        import transformers

        model_config = transformers.AutoConfig.from_pretrained(config.model.path)
    size = model_size(model_config, config.model.lora)
    sharded = config.model.parallel == "fsdp" and processes > 1
    parts = {
        **_states(config, size, processes if sharded else 1),
        **_computation(config, size, sharded, context),
    }
    if config.policy.sampler == "vllm":
        parts["vLLM"] = _vllm_fraction(config) * gpu_gib * _GIB
    elif sharded:
        parts["copy that samples"] = _FP32 * size.parameters
    gib = {name: value / _GIB for name, value in parts.items() if value}
    return {**gib, "total": sum(gib.values())}


def cached_tokens(config: RunConfig, gpu_gib: float, model_config: Any) -> int:
    """How many tokens' keys and values fit into vLLM, next to its weights, in bfloat16.

    2 GiB are reserved for its computation.
    """
    size = model_size(model_config)
    room = _vllm_fraction(config) * gpu_gib * _GIB - _BF16 * size.parameters - 2 * _GIB
    return max(0, int(room / (_BF16 * size.key_value_numbers)))


def kept_activations(size: ModelSize, tokens: int, recompute: bool) -> int:
    """Bytes that the layers keep for the backward pass of this many tokens, in fp32.

    Each layer's input (``hidden`` numbers a token) and two more at the end. Without recomputing
    also what is inside a layer: about 12·hidden + 4·intermediate numbers a token.
    """
    inputs = tokens * size.hidden * (size.layers + 2)
    return _FP32 * (inputs + (0 if recompute else size.layers * _inside_layer(size, tokens)))


def _states(config: RunConfig, size: ModelSize, shards: int) -> dict[str, float]:
    """Weights, gradients, and AdamW's two means."""
    width = _BF16 if config.model.dtype == "bfloat16" else _FP32
    weights = width * size.parameters + _FP32 * size.adapters
    trained = size.adapters or size.parameters
    # With adapters the base model is the reference.
    reference = config.model.lora is None and config.needs_reference
    return {
        "weights": weights / shards,
        "gradients": _FP32 * trained / shards,
        "optimiser": 2 * _FP32 * trained / shards,
        "reference": weights / shards if reference else 0,
    }


def _computation(
    config: RunConfig, size: ModelSize, sharded: bool, context: int
) -> dict[str, float]:
    """What a micro-batch needs while it is computed."""
    model, tokens = config.model, config.optimizer.micro_batch_tokens
    width = _BF16 if model.autocast or model.dtype == "bfloat16" else _FP32
    gathered = width * (2 * size.largest_layer + size.outside_layers)  # the next one is fetched
    gradients = _FP32 * max(size.largest_layer, size.outside_layers)
    inside = _FP32 * _inside_layer(size, tokens) if model.gradient_checkpointing else 0
    scores = 0 if sharded else _ATTENTION_COPIES * _FP32 * size.heads * tokens * context
    logits = _LOGITS_COPIES * _FP32 * LOGITS_AT_ONCE
    return {
        "gathered layers": gathered + gradients if sharded else 0,
        "weights in bfloat16": width * size.parameters if model.autocast and not sharded else 0,
        "activations": kept_activations(size, tokens, model.gradient_checkpointing),
        "one layer": inside + scores,
        "logits": logits + (2 * width * tokens * size.vocabulary if sharded else 0),
    }


def _vllm_fraction(config: RunConfig) -> float:
    return float(config.policy.engine.get("gpu_memory_utilization", 0.3))


def _inside_layer(size: ModelSize, tokens: int) -> int:
    return tokens * (12 * size.hidden + 4 * size.intermediate)


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
