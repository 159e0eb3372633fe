"""The model that a run trains, with its adapters, and the reference: its first weights."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from srl_agents.models.loading import find_device, load
from srl_agents.models.room import TRAINED
from srl_agents.nn.families import causal_lm
from srl_agents.nn.linear import Map
from srl_agents.nn.score import Continuation, Decoder, States, TokenTree, make_decoder
from srl_agents.parallel.agreement import check_same, weights_digest
from srl_agents.parallel.sharding import shard, whole_weights
from srl_agents.parallel.team import ALONE, Team
from srl_agents.policies.chat_template import set_arguments
from srl_agents.policies.transformers import TransformersPolicy
from srl_agents.policies.vllm.engine import engine_weights
from srl_agents.runs.checkpoint import cannot_read
from srl_agents.runs.config import LoraConfig, ModelConfig
from srl_env.errors import BadOption, MissingExtra
from srl_env.seeding import derive_seed


class Reference(Protocol):
    """A decoder with the run's first weights; it needs no gradient."""

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        ...

    def token_logprobs(
        self,
        prefixes: Sequence[Sequence[int]],
        continuations: Sequence[Continuation],
        temperature: float = 1.0,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As ``Decoder.token_logprobs``."""
        ...

    def states(self, tree: TokenTree) -> States:
        """As ``Decoder.states``; its head needs no gradient either."""
        ...


def load_policy(
    settings: ModelConfig, seed: int, checkpoint: Path | None, team: Team = ALONE
) -> TransformersPolicy:
    """The policy to train, with the weights of ``checkpoint`` if given.

    seed: the run's, for sampling and new adapters. team: the processes that train together.
    Raises BadOption if the model cannot be loaded, or is another one in another process, and
    CannotRead if the checkpoint cannot be loaded.
    """
    sharded = will_shard(settings, team)
    model, tokenizer = load_parts(
        settings, seed, checkpoint, torch.device("cpu") if sharded else None
    )
    if team.size > 1:
        fix = "give every machine the same model"
        check_same(team, "weights", {"digest of the model": weights_digest(model)}, fix)
    if settings.gradient_checkpointing:
        _recompute_activations(model)
    if sharded:
        shard(model, find_device(_device(settings)), settings.autocast)
    return TransformersPolicy(
        model, tokenizer, autocast=settings.autocast, seed=sampling_seed(seed, team)
    )


def load_reference(
    settings: ModelConfig, policy: TransformersPolicy, team: Team = ALONE
) -> Reference:
    """The reference: a frozen copy, or the base model without its adapters."""
    if settings.lora is not None:
        return _WithoutAdapters(policy.model, policy.decoder)
    sharded = will_shard(settings, team)
    model, _ = load(settings.path, "cpu" if sharded else policy.device, settings.dtype)
    model.requires_grad_(False)
    if sharded:
        shard(model, policy.device, settings.autocast)
    return make_decoder(model)


def save_merged(
    policy: TransformersPolicy, weights: dict[str, Tensor] | None, folder: Path
) -> None:
    """Writes an ordinary model folder, adapters merged. weights: what ``merged_weights`` gives."""
    inner: Any = causal_lm(policy.model)
    inner.save_pretrained(folder, state_dict=weights)
    policy.tokenizer.save_pretrained(folder)


def merged_weights(policy: TransformersPolicy, keep: bool) -> dict[str, Tensor] | None:
    """The weights of a policy that is sharded or has adapters, which are merged; None for others.

    keep: False in processes that only help to gather.
    """
    if not hasattr(policy.model, "get_base_model"):
        return whole_weights(policy.model, keep)
    named = ((name, value.cpu()) for name, value in engine_weights(policy.model))
    return {name: value for name, value in named if keep}


class _WithoutAdapters:
    """A decoder that switches off its model's adapters while it computes."""

    def __init__(self, model: Any, decoder: Decoder) -> None:
        self.model, self.decoder = model, decoder

    @property
    def device(self) -> torch.device:
        return self.decoder.device

    def token_logprobs(
        self,
        prefixes: Sequence[Sequence[int]],
        continuations: Sequence[Continuation],
        temperature: float = 1.0,
    ) -> tuple[Tensor, Tensor, Tensor]:
        with self.model.disable_adapter():
            return self.decoder.token_logprobs(prefixes, continuations, temperature)

    def states(self, tree: TokenTree) -> States:
        with self.model.disable_adapter():
            found = self.decoder.states(tree)
        head = replace(found.head, map=partial(self._head, found.head.map))
        return replace(found, head=head)

    def _head(self, head: Map, hidden: Tensor) -> Tensor:
        with self.model.disable_adapter():
            return head(hidden)


def load_parts(
    settings: ModelConfig, seed: int, checkpoint: Path | None, device: torch.device | None = None
) -> tuple[Any, Any]:
    """Model and tokenizer, with new adapters if configured. device: None for the configured."""
    place = device or find_device(_device(settings))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft reads names transformers retires
        if checkpoint is not None:
            try:
                return _prepared(*load(str(checkpoint), place, settings.dtype, 0), settings)
            except Exception as error:  # safetensors and transformers raise many kinds
                raise cannot_read(checkpoint, error) from error
        whole = settings.lora is None and device is None  # else they are few, or divided
        copies = TRAINED if whole else 1
        model, tokenizer = load(settings.path, place, settings.dtype, copies)
        if settings.lora is not None:
            model = _adapted(model, settings.lora, derive_seed("adapters", seed))
    return _prepared(model, tokenizer, settings)


def _prepared(model: Any, tokenizer: Any, settings: ModelConfig) -> tuple[Any, Any]:
    set_arguments(tokenizer, settings.chat_template_kwargs)
    return model, tokenizer


def _device(settings: ModelConfig) -> str | None:
    return None if settings.device == "auto" else settings.device


def will_shard(settings: ModelConfig, team: Team) -> bool:
    return settings.parallel == "fsdp" and team.size > 1


def sampling_seed(seed: int, team: Team) -> int:
    """Each process has its own stream; the first has that of a single process."""
    return derive_seed("sampling", seed, *([team.rank] if team.rank else []))


def _recompute_activations(model: Any) -> None:
    """Layers keep only their inputs, and compute the rest again in the backward pass."""
    inner: Any = causal_lm(model)
    enable = getattr(inner, "activation_checkpointing_enable", None)  # newer transformers' name
    (enable or inner.gradient_checkpointing_enable)({"use_reentrant": False})
    inner.disable_input_require_grads()  # only reentrant checkpoints need them


def _adapted(model: Any, lora: LoraConfig, seed: int) -> Any:
    """The model with new adapters, the only trainable weights."""
    try:
        peft = importlib.import_module("peft")
    except ImportError:
        raise MissingExtra("peft", "train") from None
    settings = peft.LoraConfig(
        r=lora.rank, lora_alpha=lora.alpha, target_modules=lora.targets, task_type="CAUSAL_LM"
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # peft knows no other generator than the global one
        try:
            return peft.get_peft_model(model, settings)
        except ValueError as error:
            raise BadOption(f"model.lora.targets: {error}") from error
