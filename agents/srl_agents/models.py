"""The model a run trains: loaded, adapted if asked, and compared with what it was at first."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from srl_agents.checkpoint import cannot_read
from srl_agents.config import LoraConfig, ModelConfig, PolicyConfig
from srl_agents.decoder import Branch, Decoder, make_decoder
from srl_agents.policies import TransformersPolicy
from srl_agents.policies.loading import find_device, load
from srl_env.errors import BadOption, MissingExtra
from srl_env.seeding import derive_seed

if TYPE_CHECKING:
    from srl_agents.policies.vllm import VLLMPolicy


class Reference(Protocol):
    """A decoder with the run's first weights; only its answers are needed, not its gradient."""

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        ...

    def token_logprobs(
        self,
        trunks: Sequence[Sequence[int]],
        branches: Sequence[Branch],
        temperature: float = 1.0,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As ``Decoder.token_logprobs``."""
        ...


def load_policy(settings: ModelConfig, seed: int, checkpoint: Path | None) -> TransformersPolicy:
    """The policy to train, with the weights of ``checkpoint`` where there is one.

    seed: the run's; sampling and new adapters draw from it. Raises BadOption where the model
    cannot be loaded, CannotRead where the checkpoint cannot.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft reads names transformers retires
        model, tokenizer = _load(settings, seed, checkpoint)
    if settings.gradient_checkpointing:
        model.gradient_checkpointing_enable()
    return TransformersPolicy(
        model, tokenizer, autocast=settings.autocast, seed=derive_seed("sampling", seed)
    )


def load_engine(
    settings: PolicyConfig, model: ModelConfig, seed: int, policy: TransformersPolicy
) -> VLLMPolicy | None:
    """vLLM's engine with the policy's weights, None where the policy samples for itself.

    seed: the run's. On a GPU it takes 0.3 of the memory, if ``settings.engine`` says nothing
    else, because the training needs the rest. Raises MissingExtra, BadOption.
    """
    if settings.sampler == "transformers":
        return None
    from srl_agents.policies.vllm import VLLMPolicy

    engine = VLLMPolicy(
        model.path,
        dtype="bfloat16" if model.autocast else model.dtype,
        seed=derive_seed("sampling", seed),
        rows=settings.rows,
        **{"gpu_memory_utilization": 0.3, **settings.engine},
    )
    engine.push_weights(policy.model)
    return engine


def load_reference(settings: ModelConfig, policy: TransformersPolicy) -> Reference:
    """What scores by the run's first weights: a frozen copy, or the base without its adapters."""
    if settings.lora is not None:
        return _WithoutAdapters(policy.model, policy.decoder)
    model, _ = load(settings.path, policy.device, settings.dtype)
    return make_decoder(model.requires_grad_(False))


def save_merged(policy: TransformersPolicy, folder: Path) -> None:
    """Writes an ordinary model folder, adapters merged into the weights they adapt.

    A policy with adapters cannot be trained on afterwards.
    """
    merge = getattr(policy.model, "merge_and_unload", None)
    model = policy.model if merge is None else merge()
    model.save_pretrained(folder)
    policy.tokenizer.save_pretrained(folder)


class _WithoutAdapters:
    """A decoder whose model's adapters are switched off while it computes."""

    def __init__(self, model: Any, decoder: Decoder) -> None:
        self.model, self.decoder = model, decoder

    @property
    def device(self) -> torch.device:
        return self.decoder.device

    def token_logprobs(
        self,
        trunks: Sequence[Sequence[int]],
        branches: Sequence[Branch],
        temperature: float = 1.0,
    ) -> tuple[Tensor, Tensor, Tensor]:
        with self.model.disable_adapter():
            return self.decoder.token_logprobs(trunks, branches, temperature)


def _load(settings: ModelConfig, seed: int, checkpoint: Path | None) -> tuple[Any, Any]:
    """Model and tokenizer, adapters included where there are to be any."""
    device = find_device(None if settings.device == "auto" else settings.device)
    if checkpoint is not None:
        try:
            return load(str(checkpoint), device, settings.dtype)
        except Exception as error:  # safetensors and transformers raise many kinds
            raise cannot_read(checkpoint, error) from error
    model, tokenizer = load(settings.path, device, settings.dtype)
    if settings.lora is not None:
        model = _adapted(model, settings.lora, derive_seed("adapters", seed))
    return model, tokenizer


def _adapted(model: Any, lora: LoraConfig, seed: int) -> Any:
    """The model with new adapters; only they are trainable."""
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
