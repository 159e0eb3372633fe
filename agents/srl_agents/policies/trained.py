"""The model a run trains: loaded, adapted if asked, and compared with what it was at first."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from srl_agents.models.loading import find_device, load
from srl_agents.nn.network import causal_lm
from srl_agents.nn.score import Branch, Decoder, make_decoder
from srl_agents.parallel.sharding import is_sharded, shard, whole, whole_weights
from srl_agents.parallel.team import ALONE, Team
from srl_agents.policies import TransformersPolicy
from srl_agents.policies.vllm.engine import engine_weights
from srl_agents.runs.checkpoint import cannot_read
from srl_agents.runs.config import LoraConfig, ModelConfig, PolicyConfig
from srl_env.errors import BadOption, MissingExtra
from srl_env.policy import Policy
from srl_env.seeding import derive_seed

if TYPE_CHECKING:
    from srl_agents.policies.vllm.engine import VLLMPolicy

HANDED_OVER = "sampler.safetensors"
"""The file in a run's folder with the weights that a server samples with."""


class SamplingEngine(Policy, Protocol):
    """What samples in the trained model's place, with its weights."""

    @property
    def generator(self) -> Any:
        """All randomness of sampling; ``get_state`` and ``set_state`` keep it."""
        ...

    def push_weights(self, model: nn.Module) -> None:
        """Takes the weights of the model, which may be spread over processes."""
        ...

    def close(self) -> None:
        """Ends it and frees its memory."""
        ...


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


def load_policy(
    settings: ModelConfig, seed: int, checkpoint: Path | None, team: Team = ALONE
) -> TransformersPolicy:
    """The policy to train, with the weights of ``checkpoint`` where there is one.

    seed: the run's; sampling and new adapters draw from it. team: the processes that train it
    together. Raises BadOption where the model cannot be loaded, CannotRead where the checkpoint
    cannot.
    """
    spread = _spread(settings, team)
    model, tokenizer = _load(settings, seed, checkpoint, torch.device("cpu") if spread else None)
    if settings.gradient_checkpointing:
        _recompute_activations(model)
    if spread:
        shard(model, find_device(_device(settings)), settings.autocast)
    return TransformersPolicy(
        model, tokenizer, autocast=settings.autocast, seed=_sampling_seed(seed, team)
    )


def load_engine(
    settings: PolicyConfig,
    model: ModelConfig,
    seed: int,
    policy: TransformersPolicy,
    folder: Path,
    team: Team = ALONE,
) -> SamplingEngine | None:
    """What samples with the policy's weights, None where the policy samples for itself.

    A policy whose weights are spread over processes cannot: each process then has a whole copy,
    or vLLM's engine; a server is everybody's. seed: the run's. folder: the run's, where weights
    for a server lie. On a GPU vLLM takes 0.3 of the memory, if ``settings.engine`` says nothing
    else, because the training needs the rest. Raises MissingExtra, BadOption.
    """
    if settings.sampler == "vllm":
        # With this one, vLLM takes the processes that there are, each for an engine of its own.
        beside = {"distributed_executor_backend": "external_launcher"} if team.size > 1 else {}
        options = {"gpu_memory_utilization": 0.3, **beside, **settings.engine}
        engine: SamplingEngine = _vllm(settings, model, _sampling_seed(seed, team), options)
    elif settings.sampler == "vllm-server":
        engine = _server(settings, _sampling_seed(seed, team), policy, folder, team)
    elif _spread(model, team):
        engine = Copy(*_load(model, seed, None), model.autocast, _sampling_seed(seed, team))
    else:
        return None
    engine.push_weights(policy.model)
    return engine


class Copy(TransformersPolicy):
    """A whole copy of a model that is trained elsewhere, or spread over processes, to sample."""

    def __init__(self, model: nn.Module, tokenizer: Any, autocast: bool, seed: int) -> None:
        super().__init__(model.requires_grad_(False), tokenizer, autocast=autocast, seed=seed)

    def push_weights(self, model: nn.Module) -> None:
        """Takes the weights of a model of the same form, put together one at a time."""
        self.load_weights((name, whole(p.detach())) for name, p in model.named_parameters())

    @torch.no_grad()
    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        """Takes these weights, by their names in the model; the others stay as they are."""
        mine = dict(self.model.named_parameters())
        for name, value in weights:
            mine[name].copy_(value)
        self.weights_changed()

    def close(self) -> None:
        """Nothing: there is no engine."""


def load_worker(
    settings: PolicyConfig, model: ModelConfig, seed: int, gpus: float
) -> Copy | VLLMPolicy:
    """What samples in a worker, apart from the training, with weights of ``worker_weights``.

    gpus: how many the worker has, or what share of one; vLLM takes as much of its memory.
    """
    if settings.sampler == "vllm":
        options = {"gpu_memory_utilization": 0.9 * min(gpus or 1.0, 1.0), **settings.engine}
        return _vllm(settings, model, derive_seed("sampling", seed), options)
    place = find_device(None if gpus else "cpu")
    return Copy(*_load(model, seed, None, place), model.autocast, derive_seed("sampling", seed))


def worker_weights(settings: PolicyConfig, model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """What changes in training, by name, for what ``load_worker`` gives; adapters merged for vLLM.

    Where the weights are spread over processes, all of them ask for each in turn.
    """
    if settings.sampler == "vllm":
        return engine_weights(model)
    trained = ((name, p) for name, p in model.named_parameters() if p.requires_grad)
    return ((name, whole(p.detach())) for name, p in trained)


def _vllm(
    settings: PolicyConfig, model: ModelConfig, seed: int, options: Mapping[str, Any]
) -> VLLMPolicy:
    from srl_agents.policies.vllm.engine import VLLMPolicy

    dtype = "bfloat16" if model.autocast else model.dtype
    return VLLMPolicy(model.path, dtype=dtype, seed=seed, rows=settings.rows, **options)


def _server(
    settings: PolicyConfig, seed: int, policy: TransformersPolicy, folder: Path, team: Team
) -> SamplingEngine:
    from srl_agents.policies.servers.vllm_server import VLLMServerPolicy

    assert settings.base_url is not None, "configuration checks this"
    return VLLMServerPolicy(
        settings.base_url,
        policy,
        folder / HANDED_OVER,
        seed=seed,
        rows=settings.rows,
        team=team,
    )


def load_reference(
    settings: ModelConfig, policy: TransformersPolicy, team: Team = ALONE
) -> Reference:
    """What scores by the run's first weights: a frozen copy, or the base without its adapters."""
    if settings.lora is not None:
        return _WithoutAdapters(policy.model, policy.decoder)
    spread = _spread(settings, team)
    model, _ = load(settings.path, "cpu" if spread else policy.device, settings.dtype)
    model.requires_grad_(False)
    if spread:
        shard(model, policy.device, settings.autocast)
    return make_decoder(model)


def save_merged(
    policy: TransformersPolicy, weights: dict[str, Tensor] | None, folder: Path
) -> None:
    """Writes an ordinary model folder, adapters merged into the weights they adapt.

    weights: what ``merged_weights`` gives. A policy with adapters cannot be trained on afterwards.
    """
    if weights is not None:
        inner: Any = causal_lm(policy.model)
        inner.save_pretrained(folder, state_dict=weights)
    else:
        merge = getattr(policy.model, "merge_and_unload", None)
        model = policy.model if merge is None else merge()
        model.save_pretrained(folder)
    policy.tokenizer.save_pretrained(folder)


def merged_weights(policy: TransformersPolicy, keep: bool) -> dict[str, Tensor] | None:
    """The whole weights of a policy that is spread over processes, adapters merged; else None.

    keep: False in processes that only help to put them together.
    """
    if not is_sharded(policy.model) or not hasattr(policy.model, "get_base_model"):
        return whole_weights(policy.model, keep)
    named = ((name, value.cpu()) for name, value in engine_weights(policy.model))
    return {name: value for name, value in named if keep}


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


def _load(
    settings: ModelConfig, seed: int, checkpoint: Path | None, device: torch.device | None = None
) -> tuple[Any, Any]:
    """Model and tokenizer, adapters included where there are to be any.

    device: None for the settings' own.
    """
    place = device or find_device(_device(settings))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft reads names transformers retires
        if checkpoint is not None:
            try:
                return load(str(checkpoint), place, settings.dtype)
            except Exception as error:  # safetensors and transformers raise many kinds
                raise cannot_read(checkpoint, error) from error
        model, tokenizer = load(settings.path, place, settings.dtype)
        if settings.lora is not None:
            model = _adapted(model, settings.lora, derive_seed("adapters", seed))
    return model, tokenizer


def _device(settings: ModelConfig) -> str | None:
    return None if settings.device == "auto" else settings.device


def _spread(settings: ModelConfig, team: Team) -> bool:
    return settings.parallel == "fsdp" and team.size > 1


def _sampling_seed(seed: int, team: Team) -> int:
    """A stream of its own for each process; that of the first is that of a process alone."""
    return derive_seed("sampling", seed, *([team.rank] if team.rank else []))


def _recompute_activations(model: Any) -> None:
    """Layers keep their inputs alone, and compute the rest again in the backward pass."""
    inner: Any = causal_lm(model)
    enable = getattr(inner, "activation_checkpointing_enable", None)  # newer transformers' name
    (enable or inner.gradient_checkpointing_enable)({"use_reentrant": False})
    inner.disable_input_require_grads()  # only reentrant checkpoints need them


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
