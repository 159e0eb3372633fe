"""vLLM's engine in this process as a policy: messages in, token-exact samples out.

New weights go into the running engine (``push_weights``), so that it can sample for a training.
Importing this module does not import vllm; making a ``VLLMPolicy`` does.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from srl_agents.nn.sample.sampler import check_request
from srl_agents.parallel.sharding import whole
from srl_agents.policies.chat_template import set_arguments
from srl_agents.policies.request_seeds import RequestSeeds
from srl_agents.policies.thinking import sample_closing_thoughts
from srl_agents.policies.tokens import PromptEncoder, generate_fitting, stop_ids
from srl_agents.policies.vllm.adapters import AdapterVersions, has_adapters, largest_rank
from srl_env.errors import BadOption, Failure, MissingExtra
from srl_env.policy import FinishReason, Generation, Sampling
from srl_env.text.prompt import Messages
from srl_env.text.tool import Tool

if TYPE_CHECKING:
    from srl_agents.policies.sampler import Training

RECEIVER = "srl_agents.policies.vllm.worker.WeightReceiver"
"""The extension of vLLM's workers that takes new weights."""

_ENVIRONMENT = {
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # leave the process's threads where they are
}
_OURS = ("model", "tokenizer", "seed", "dtype", "logprobs_mode", "worker_extension_cls")


class VLLMPolicy:
    """Any causal language model that vLLM knows, from a folder or the hub.

    ``llm`` (vLLM's), ``tokenizer`` and ``generator`` (the seeds of the requests) are open to
    trainers. The same seed and the same calls give the same samples on one machine.
    """

    def __init__(
        self,
        source: str | PathLike[str],
        *,
        dtype: str = "auto",
        seed: int = 0,
        rows: int = 256,
        chat_template_kwargs: Mapping[str, Any] | None = None,
        **engine: Any,
    ) -> None:
        """dtype: of weights and products ("float32", "bfloat16", "float16", "auto").

        seed: of sampling. rows: completions sampled at once. chat_template_kwargs: as for
        ``TransformersPolicy.from_pretrained``. engine: arguments of ``vllm.LLM``,
        such as ``gpu_memory_utilization``, ``max_model_len`` or ``kv_cache_memory_bytes`` (1 GiB on
        a CPU by default). Raises MissingExtra without vllm, BadOption if vLLM refuses them.
        """
        _check_engine_options(engine)
        vllm = _import_vllm()
        options = _defaults(rows) | engine
        with _as_it_was():
            try:
                self.llm: Any = vllm.LLM(
                    str(source),
                    dtype=dtype,
                    seed=0,
                    logprobs_mode="processed_logprobs",
                    worker_extension_cls=RECEIVER,
                    **options,
                )
            except (AttributeError, OSError, RuntimeError, TypeError, ValueError) as error:
                raise BadOption(f"vLLM cannot load {str(source)!r}: {_reason(error)}") from error
        self.tokenizer: Any = self.llm.get_tokenizer()
        self.generator = RequestSeeds(seed, "vllm request")
        self._make_params = vllm.SamplingParams
        self._scratch = TemporaryDirectory(prefix="srl-env-adapters-")
        self._adapters = AdapterVersions(Path(self._scratch.name))
        self._takes_adapters = bool(options.get("enable_lora"))
        self._lora: Any = None  # vLLM's request for the adapters to sample with
        set_arguments(self.tokenizer, chat_template_kwargs)
        self._prompts = PromptEncoder(self.tokenizer)
        config = self.llm.model_config
        self.max_model_len = int(config.max_model_len)
        generation = SimpleNamespace(**config.try_get_generation_config())
        ends = stop_ids(self.tokenizer, config.hf_config, generation)
        self._stop_ids = sorted(ends.union(self._prompts.ends))

    @classmethod
    def for_training(cls, training: Training) -> VLLMPolicy:
        """The engine that samples for a training, with the weights from before it."""
        model = training.model
        options: dict[str, Any] = {"gpu_memory_utilization": training.gpu_share}
        if model.lora is not None and training.settings.engine.get("enable_lora"):
            options["max_lora_rank"] = largest_rank(model.lora.rank)
        if training.team.size > 1:  # vLLM takes the processes that there are, an engine in each
            options["distributed_executor_backend"] = "external_launcher"
        return cls(
            model.path,
            dtype="bfloat16" if model.autocast else model.dtype,
            seed=training.seed,
            rows=training.settings.rows,
            chat_template_kwargs=model.chat_template_kwargs,
            **options | training.settings.engine,
        )

    def generate(self, batch: Sequence[Messages], sampling: Sampling) -> list[Generation | Failure]:
        """One sampled generation for each list of messages, in order.

        The text ends with the stop string, if one ended it. Ids and log-probabilities (at the
        sampling temperature, for greedy decoding at 1) are those of all sampled tokens. A prompt
        that fills the model's context returns a PromptRefused. Raises BadOption for an empty
        prompt or invalid settings.
        """
        sampling = self._prompts.native(sampling)
        prompts = self.encode_many(batch, sampling.prefill, sampling.tools, sampling.turns)
        check_request(prompts, sampling)
        if sampling.temperature > 2:
            raise BadOption(f"vLLM's temperature must be at most 2; got {sampling.temperature:g}")

        def sample(fitting: list[int], how: Sampling) -> list[Generation | Failure]:
            chosen = [prompts[i] for i in fitting]
            return sample_closing_thoughts(
                chosen, how, self._prompts, self._sample, self.max_model_len
            )

        return generate_fitting(prompts, self.max_model_len, sampling, sample)

    @property
    def native_tools(self) -> bool:
        """Whether the chat template takes tools."""
        return self._prompts.tool_use is not None

    def encode_many(
        self,
        batch: Sequence[Messages],
        prefill: str = "",
        tools: tuple[Tool, ...] = (),
        turns: Sequence[Sequence[Sequence[int]]] = (),
    ) -> list[list[int]]:
        """Each prompt's token ids, the same as ``TransformersPolicy.encode_many`` gives."""
        return self._prompts.encode_many(batch, prefill, tools, turns)

    @staticmethod
    def weights(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
        """What ``load_weights`` takes; see ``engine_weights``."""
        return engine_weights(model)

    def push_weights(self, model: nn.Module) -> None:
        """Loads the model's weights into the engine, and clears its caches.

        model: a Hugging Face model of the engine's architecture, on any device. Adapters are merged
        into the weights; an engine with ``enable_lora`` gets them as adapters, and keeps its base.
        """
        if self._takes_adapters and has_adapters(model):
            self._push_adapters(model)
        else:
            self.load_weights(self.weights(model))

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        """Loads weights, by the names of ``engine_weights``; as ``push_weights``."""
        self.llm.collective_rpc("receive_weights", args=(iter(weights),))
        self.weights_changed()

    def _push_adapters(self, model: nn.Module) -> None:
        before, new = self._adapters.latest, self._adapters.write(model)
        request = importlib.import_module("vllm.lora.request").LoRARequest
        self._lora = request(new.name, new.number, str(new.path))
        self.llm.llm_engine.add_lora(self._lora)
        if before is not None:
            self.llm.llm_engine.remove_lora(before.number)
            self._adapters.forget(before)
        self.weights_changed()

    def weights_changed(self) -> None:
        """Forget what was computed for earlier prompts."""
        if not self.llm.reset_prefix_cache():
            raise RuntimeError("vLLM kept keys and values of earlier weights; requests still run")

    def close(self) -> None:
        """Ends the engine and frees its memory."""
        self.llm.llm_engine.engine_core.shutdown()
        self._scratch.cleanup()

    def _sample(self, prompts: Sequence[Sequence[int]], sampling: Sampling) -> list[Generation]:
        if not prompts:
            return []
        requests = [{"prompt_token_ids": list(prompt)} for prompt in prompts]
        seeds = self.generator.next_for(len(prompts), sampling.seeds)
        params = [self._params(sampling, seed) for seed in seeds]
        lora = {} if self._lora is None else {"lora_request": self._lora}
        outputs = self.llm.generate(requests, params, use_tqdm=False, **lora)
        completions = [output.outputs[0] for output in outputs]
        ids = [list(completion.token_ids) for completion in completions]
        made = [
            self._prompts.generation(
                prompt, tuple(row), _logprobs(completion), _finish(completion), sampling
            )
            for prompt, row, completion in zip(prompts, ids, completions, strict=True)
        ]
        early = [row for row, one in enumerate(made) if sampling.ended_early(one)]
        how = replace(sampling, thoughts=True, seeds=tuple(seeds)).of(early)
        again = self._sample([prompts[row] for row in early], how)
        for row, one in zip(early, again, strict=True):
            made[row] = one
        return made

    def _params(self, sampling: Sampling, seed: int) -> Any:
        stop = sampling.engine_stop
        return self._make_params(
            temperature=sampling.temperature,
            max_tokens=sampling.max_tokens,
            stop=stop,
            include_stop_str_in_output=True,
            stop_token_ids=self._stop_ids,
            ignore_eos=True,  # its own idea of the end; ours is in stop_token_ids
            detokenize=bool(stop),
            logprobs=0,  # of the sampled token alone
            seed=seed,
        )


def engine_weights(model: Any) -> Iterator[tuple[str, Tensor]]:
    """Name and value of every weight, as in a checkpoint of the model without adapters.

    model: a Hugging Face model, or peft's around one. Sharded weights are gathered one by one: all
    processes must ask. A tied head has no weight of its own.
    """
    bare: Any = model.get_base_model() if hasattr(model, "get_base_model") else model
    with torch.no_grad():
        for name, parameter in bare.named_parameters():
            if ".lora_" in name:
                continue
            value = whole(parameter.detach())
            owner, _, leaf = name.rpartition(".")
            if owner.endswith(".base_layer") and leaf == "weight":
                layer = bare.get_submodule(owner.removesuffix(".base_layer"))
                for adapter in layer.active_adapters:
                    value = value + whole(layer.get_delta_weight(adapter)).to(value.dtype)
            yield name.replace(".base_layer.", "."), value


def _import_vllm() -> Any:
    """The package, set to run quietly in this process."""
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # weights are handed over by reference
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        return importlib.import_module("vllm")
    except ImportError as error:
        if error.name not in (None, "vllm"):
            raise
        raise MissingExtra("vllm", "vllm") from None


def _defaults(rows: int) -> dict[str, Any]:
    """Default arguments of the engine."""
    options = {
        "max_num_seqs": rows,
        "enable_prefix_caching": True,
        "disable_log_stats": True,
        "generation_config": "vllm",  # nothing but what Sampling says changes the distribution
    }
    if torch.cuda.is_available():
        return options
    small = {"block_size": 32, "kv_cache_memory_bytes": 2**30, "enforce_eager": True}
    return options | small  # blocks of 32 tokens, so that short prompts have a beginning to share


def _check_engine_options(engine: Mapping[str, Any]) -> None:
    for name in _OURS:
        if name in engine:
            raise BadOption(
                f"{name} is set by VLLMPolicy. Fix: remove it from the engine's options"
            )
    for name in ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size"):
        if engine.get(name, 1) != 1:
            raise BadOption(
                f"{name} must be 1 for an engine in this process; got {engine[name]}. Fix: for "
                "several GPUs start a server and use OpenAIPolicy"
            )


@contextmanager
def _as_it_was() -> Iterator[None]:
    """Keeps vLLM from disabling ``torch.set_num_threads`` for the rest of the process."""
    before = torch.set_num_threads
    try:
        yield
    finally:
        torch.set_num_threads = before


def _logprobs(completion: Any) -> tuple[float, ...]:
    rows = zip(completion.token_ids, completion.logprobs, strict=True)
    return tuple(float(row[token].logprob) for token, row in rows)


def _finish(completion: Any) -> FinishReason:
    return "length" if completion.finish_reason == "length" else "stop"


def _reason(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__)[:500]
