"""A vLLM server that samples with the weights of a model trained here.

Weights are written to a file. The server's workers (``WeightReceiver``) read it on request,
through the routes of vLLM's development mode. Completions are requested as by ``OpenAIPolicy``,
but from token ids to token ids, as by ``VLLMPolicy``.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from srl_agents.nn.sample.sampler import check_request
from srl_agents.parallel.team import ALONE, Team
from srl_agents.policies.request_seeds import RequestSeeds
from srl_agents.policies.servers.answers import Answer
from srl_agents.policies.servers.failures import (
    BadAnswer,
    RequestTimeout,
    Retryable,
    ServerError,
    ServerUnreachable,
    read_error,
)
from srl_agents.policies.servers.openai import OpenAIPolicy
from srl_agents.policies.thinking import Prompts, sample_closing_thoughts
from srl_agents.policies.tokens import PromptEncoder, generate_fitting
from srl_agents.policies.transformers import TransformersPolicy
from srl_agents.policies.vllm.adapters import (
    AdapterVersion,
    AdapterVersions,
    has_adapters,
    largest_rank,
)
from srl_agents.policies.vllm.engine import RECEIVER, engine_weights
from srl_agents.policies.vllm.worker import model_shape
from srl_agents.runs.checkpoint import CannotWrite
from srl_env.errors import BadOption, Failure
from srl_env.policy import Generation, Sampling
from srl_env.text.prompt import Messages

if TYPE_CHECKING:
    from srl_agents.policies.sampler import Training

SERVER_WEIGHTS = "sampler.safetensors"
"""The file in a run's folder with the weights that a server samples with."""

SERVER_ADAPTERS = "sampler-adapters"
"""The folder with adapters, if the server takes them apart from its weights."""

_TIMEOUT_S = 600.0  # of one request; completions and weights of large models take a while
_MISSED = 3  # checks of its health, after which a server counts as lost
_RESETS = 5  # attempts; requests that were given up may hold their blocks for a moment


class VLLMServerPolicy(OpenAIPolicy):
    """vLLM's server as the sampler of a training: ids and log-probs as of ``VLLMPolicy``.

    One server serves one training. ``generate`` fails as ``OpenAIPolicy.generate`` does.
    """

    concurrent: ClassVar[bool] = False  # the order of the calls decides the seeds

    def __init__(
        self,
        base_url: str,
        trained: TransformersPolicy,
        weights: Path,
        *,
        seed: int = 0,
        rows: int = 256,
        team: Team = ALONE,
        health_s: float | None = None,
        continues: bool = False,
    ) -> None:
        """base_url: the server's, as "http://localhost:8000". trained: what it samples for.

        weights: the file for the latest weights, on a path that the server reads too. seed: of
        sampling. rows: parallel requests. team: the processes that train together; the main one
        writes the weights. health_s: between two checks of the server's health while it samples;
        requests fail after the third that it misses. None checks nothing. continues: whether
        requests continue under new weights; else none may run while these are loaded.
        Raises MissingExtra without the package openai, BadOption if no server answers, or one that
        was started with other options.
        """
        self.root = base_url.rstrip("/").removesuffix("/v1")
        super().__init__(
            "the one there is",
            base_url=f"{self.root}/v1",
            api="completions",
            concurrency=rows,
            timeout_s=_TIMEOUT_S,
        )
        self.generator = RequestSeeds(seed, "vllm request")
        self.tokenizer = trained.tokenizer
        self._prompts = PromptEncoder(trained.tokenizer)
        self.native_tools = trained.native_tools
        self._stop_ids = sorted(trained.stop_ids)
        self._weights, self._team = weights, team
        self._adapters = AdapterVersions(weights.with_name(SERVER_ADAPTERS))
        self._health_s, self._continues = health_s, continues
        self._encoding = threading.Lock()
        self._shape = model_shape(trained.decoder.causal_lm.config)
        self.check()

    @classmethod
    def for_training(cls, training: Training) -> VLLMServerPolicy:
        """The policy of the server at ``base_url``, checked."""
        (base_url,) = training.settings.base_urls  # configuration checks this
        assert training.policy is not None, "configuration forbids a server in workers"
        return cls(
            base_url,
            training.policy,
            training.folder / SERVER_WEIGHTS,
            seed=training.seed,
            rows=training.settings.rows,
            team=training.team,
        )

    def generate(self, batch: Sequence[Messages], sampling: Sampling) -> list[Generation | Failure]:
        """As ``VLLMPolicy.generate``; also raises as ``OpenAIPolicy.generate``."""
        sampling = self._prompts.native(sampling)
        how = (sampling.prefill, sampling.tools, sampling.turns)
        with self._encoding:
            prompts = self._prompts.encode_many(batch, *how)
        check_request(prompts, sampling)
        ask = super().generate

        def sample_ids(prompts: Prompts, how: Sampling) -> Sequence[Generation | Failure]:
            return ask(cast(Sequence[Messages], prompts), how)  # ``_fields`` takes ids

        def sample(fitting: list[int], how: Sampling) -> Sequence[Generation | Failure]:
            chosen = [prompts[i] for i in fitting]
            return sample_closing_thoughts(
                chosen, how, self._prompts, sample_ids, self.max_model_len
            )

        return generate_fitting(prompts, self.max_model_len, sampling, sample)

    def push_weights(self, model: nn.Module) -> None:
        """Loads the model's weights into the server, and clears its caches.

        model: a Hugging Face model of the server's architecture. Adapters are merged into the
        weights; a server with ``--enable-lora`` gets them as adapters, and keeps its base. All
        processes of a training call this. Raises CannotWrite, and a PolicyFailure if the server
        does not take the weights.
        """
        if self.takes_adapters(model):
            before = self._adapters.latest
            new = self.write_adapters(model, self._adapters, self._team.main)
            if self._team.main:
                self.load_adapters(new)
                if before is not None:
                    self._adapters.forget(before)
            self.model = str(self._team.broadcast(new.name))  # the main process's
        else:
            write_server_weights(model, self._weights, self._team.main)
            if self._team.main:
                self.load_file(self._weights)
        self._team.wait()  # nobody samples with the earlier ones

    def check(self) -> None:
        """Raises BadOption unless the server answers and serves a model like the trained one.

        Its weights are taken for those that it was started with.
        """
        facts = self._served()
        _check_served(facts, self._shape, self.root)
        self.model, self.max_model_len = str(facts["name"]), int(facts["max_model_len"])
        self._adapter_rank: int | None = facts.get("adapter_rank")
        self._loaded: list[str] = []
        self._in_a_row = 0

    def takes_adapters(self, model: nn.Module) -> bool:
        """Whether the server keeps its base and gets the model's adapters."""
        return self._adapter_rank is not None and has_adapters(model)

    def write_adapters(self, model: Any, versions: AdapterVersions, main: bool) -> AdapterVersion:
        """The next version of the model's adapters, written by the main process.

        Raises CannotWrite, and BadOption if their rank is larger than the server's.
        """
        rank = max(each.r for each in model.peft_config.values())
        if self._adapter_rank is not None and rank > self._adapter_rank:
            raise BadOption(
                f"the rank of the adapters must be at most {self._adapter_rank}, that of"
                f" {self.root}; got {rank}. Fix: start it with --max-lora-rank"
                f" {largest_rank(rank)}"
            )
        try:
            return versions.write(model, main)
        except (OSError, SafetensorError) as error:
            raise _not_written(versions.folder, error) from error

    def load_file(self, path: Path) -> None:
        """Loads the weights of a file into the server, and clears its caches."""
        self._rpc("receive_checkpoint", str(path.resolve()))
        self._forget_prefixes()

    def load_adapters(self, new: AdapterVersion) -> None:
        """Loads adapters into the server, samples with them, and unloads earlier ones."""
        path = str(new.path.resolve())
        self._ask_root_once("/v1/load_lora_adapter", {"lora_name": new.name, "lora_path": path})
        self.model = new.name
        kept = 1 if self._continues else 0  # requests that run still name the last ones
        self._loaded.append(new.name)
        while len(self._loaded) > kept + 1:
            name = self._loaded.pop(0)
            self._ask_root_once("/v1/unload_lora_adapter", {"lora_name": name})
        self._forget_prefixes()

    def _forget_prefixes(self) -> None:
        running = "?reset_running_requests=true" if self._continues else ""
        for _ in range(_RESETS):
            if self._ask_root(f"/reset_prefix_cache{running}", {}).get("success", True):
                return
            time.sleep(self.backoff_s)
        raise ServerError(
            f"{self.root} kept keys and values of earlier weights; requests of others still run"
        )

    async def _ask_all(
        self, prompts: Sequence[tuple[Messages, int | None]], sampling: Sampling
    ) -> list[Generation | Failure]:
        """As ``OpenAIPolicy._ask_all``; raises ServerUnreachable if the server hangs meanwhile."""
        if self._health_s is None:
            return await super()._ask_all(prompts, sampling)
        asked = asyncio.ensure_future(super()._ask_all(prompts, sampling))
        watched = asyncio.ensure_future(self._watch(self._health_s))
        try:
            await asyncio.wait((asked, watched), return_when=asyncio.FIRST_COMPLETED)
            if not asked.done():
                watched.result()
            return await asked
        finally:
            asked.cancel()
            watched.cancel()

    async def _watch(self, every_s: float) -> None:
        """Raises ServerUnreachable once the server misses several checks of its health in a row."""
        missed = 0
        while missed < _MISSED:
            await asyncio.sleep(every_s)
            try:
                async with asyncio.timeout(every_s):
                    await self._client.get(f"{self.root}/health", cast_to=bytes)
                missed = 0
            except Exception:  # noqa: BLE001  # whatever keeps it from answering
                missed += 1
        raise ServerUnreachable(f"{self.root} missed {_MISSED} checks of its health")

    def _served(self) -> Mapping[str, Any]:
        """Facts about the served model; BadOption if the workers cannot be asked."""
        try:
            answer = self._rpc("describe_model")
        except ServerUnreachable as error:
            raise BadOption(f"policy.base_url: {error}. Is vLLM's server running?") from error
        except ServerError as error:
            raise BadOption(
                f"the workers of {self.root} take no weights ({error}). Fix: start it with"
                f" --worker-extension-cls {RECEIVER}"
            ) from error
        results = answer.get("results")
        if not isinstance(results, list) or not results or not isinstance(results[0], dict):
            raise BadOption(f"{self.root} is no vLLM server; it answered {str(answer)[:200]}")
        return results[0]

    def _rpc(self, method: str, *args: str) -> Mapping[str, Any]:
        return self._ask_root("/collective_rpc", {"method": method, "args": list(args)})

    def _ask_root(self, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """The answer of a route of development mode, {} if empty.

        Raises BadOption if the route does not exist, PolicyFailure if the request fails.
        """
        try:
            answer = self._ask_root_once(path, body)
        except ServerUnreachable:  # a connection from before may have been closed meanwhile
            answer = self._ask_root_once(path, body)
        try:
            data = json.loads(answer or b"{}")
        except ValueError as error:
            raise BadAnswer(f"{self.root}{path} gave an answer that is not JSON") from error
        return data if isinstance(data, dict) else {}

    def _ask_root_once(self, path: str, body: Mapping[str, Any]) -> bytes:
        try:
            return self._loop.run(self._post_root(path, body))
        except TimeoutError:
            late = f"{self.root}{path} did not answer in {self.timeout_s:g} s"
            raise RequestTimeout(late) from None
        except Exception as error:
            if getattr(error, "status_code", None) == 404:
                setting = "VLLM_SERVER_DEV_MODE=1"
                if "lora" in path:
                    setting = "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True"
                raise BadOption(
                    f"{self.root} has no {path}. Fix: start vLLM's server with {setting} in its"
                    " environment"
                ) from error
            meaning = read_error(error, self.root)
            if meaning is error:
                raise
            raise (meaning.failure if isinstance(meaning, Retryable) else meaning) from error

    async def _post_root(self, path: str, body: Mapping[str, Any]) -> bytes:
        async with asyncio.timeout(self.timeout_s):
            answer = await self._client.post(f"{self.root}{path}", body=dict(body), cast_to=bytes)
            return bytes(answer)

    def _fields(self, messages: Messages, sampling: Sampling, seed: int | None) -> dict[str, Any]:
        prompt = cast(Sequence[int], messages)
        return {
            "prompt": list(prompt),
            "temperature": sampling.temperature,
            "max_tokens": min(sampling.max_tokens, self.max_model_len - len(prompt)),
            "stop": sampling.engine_stop,
            "logprobs": 0,  # of the sampled token alone
            "seed": seed,
            "extra_body": {
                "include_stop_str_in_output": True,
                "stop_token_ids": self._stop_ids,
                "ignore_eos": True,  # its own idea of the end; ours is in stop_token_ids
                "return_token_ids": True,
            },
        }

    def _dispensable(self, fields: Mapping[str, Any]) -> list[str]:
        return []  # without one of them it is another distribution

    def _read(self, body: bytes, sampling: Sampling) -> Answer:
        answer = super()._read(body, replace(sampling, thoughts=False))
        found = answer.generation
        if not found.prompt_ids or not 0 < len(found.token_ids) == len(found.logprobs):
            raise BadAnswer(
                f"{len(found.token_ids)} token ids, {len(found.logprobs)} log-probabilities and"
                f" {len(found.prompt_ids)} ids of the prompt in the answer of {self.root}"
            )
        generation = self._prompts.generation(
            found.prompt_ids, found.token_ids, found.logprobs, found.finish_reason, sampling
        )
        return replace(answer, generation=generation)


def _check_served(facts: Mapping[str, Any], shape: Mapping[str, Any], server: str) -> None:
    """BadOption if the model differs, or log-probabilities are not those of sampling."""
    theirs = facts.get("shape", {})
    for name, ours in shape.items():
        if theirs.get(name) != ours:
            raise BadOption(
                f"{name} of {server} must be {ours!r}, as of the trained model; got"
                f" {theirs.get(name)!r} of {facts.get('name')!r}. Fix: serve model.path"
            )
    for name, needed in (("logprobs_mode", "processed_logprobs"), ("generation_config", "vllm")):
        if facts.get(name) != needed:
            option = f"--{name.replace('_', '-')} {needed}"
            raise BadOption(
                f"{name} of {server} must be {needed!r}, or its log-probabilities are not those of"
                f" its samples; got {facts.get(name)!r}. Fix: start it with {option}"
            )


def write_server_weights(model: nn.Module, path: Path, main: bool) -> None:
    """Writes the weights that a server loads into a file, with adapters merged.

    main: False in processes that only help to gather sharded weights. Raises CannotWrite.
    """
    named = {n: value.cpu().contiguous() for n, value in engine_weights(model) if main}
    if main:
        _write(named, path)


def _write(weights: Mapping[str, Tensor], path: Path) -> None:
    """Writes the file atomically; CannotWrite if that fails."""
    draft = path.with_name(f".{path.name}")
    try:
        save_file(dict(weights), draft)
        draft.replace(path)
    except (OSError, SafetensorError) as error:
        draft.unlink(missing_ok=True)
        raise _not_written(path, error) from error


def _not_written(path: Path, error: Exception) -> CannotWrite:
    return CannotWrite(
        f"{path} was not written ({type(error).__name__}: {error}); checkpoints are untouched."
        " Fix: make room, then resume"
    )
