"""A server on loopback that answers as vLLM's does in development mode, with a model of ours."""

from __future__ import annotations

import copy
import threading
from typing import Any

import peft
import torch
from safetensors.torch import load_file

from srl_agents.policies import TransformersPolicy
from srl_agents.policies.vllm.worker import model_shape
from srl_env.policy import Sampling
from tests.srl_agents.policies.servers.loopback import Loopback, Request


class FakeVLLM(Loopback):
    """A context manager. It samples from ``policy``, with the weights that it was handed last.

    facts: what its workers say of the model, changed by what is given. handed: the paths. adapters:
    {name: folder} of those that are loaded; a request that names one is sampled with it.
    """

    def __init__(self, policy: TransformersPolicy, *script: Any, **facts: Any) -> None:
        super().__init__(*script, answer=self._answer)
        self.policy, self.handed = policy, list[str]()
        self.adapters = dict[str, str]()
        self.facts = {
            "name": "served",
            "max_model_len": 64,
            "logprobs_mode": "processed_logprobs",
            "generation_config": "vllm",
            "shape": model_shape(policy.model.config),
            **facts,
        }
        self._one_at_a_time = threading.Lock()

    @property
    def root(self) -> str:
        """What ``policy.base_url`` is set to."""
        return self.base_url.removesuffix("/v1")

    def _answer(self, request: Request) -> Request:
        with self._one_at_a_time:
            if "prompt" in request:
                return self._completion(request)
            if "lora_path" in request:
                assert request["lora_name"] not in self.adapters
                self.adapters[request["lora_name"]] = request["lora_path"]
            elif "lora_name" in request:
                del self.adapters[request["lora_name"]]
            if request.get("method") == "receive_checkpoint":
                return self._receive(*request["args"])
        return {"results": [self.facts]} if "method" in request else {"success": True}

    def _receive(self, path: str) -> Request:
        self.handed.append(path)
        weights = load_file(path)
        model = self.policy.model
        untied = {name for name, _ in model.named_parameters()}
        assert weights.keys() == untied
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(weights[name])
        self.policy.weights_changed()
        return {"results": [None]}

    def _sampler(self, name: str) -> Any:
        if name == self.facts["name"]:
            return self.policy.sampler
        base = copy.deepcopy(self.policy.model)
        with_adapters = peft.PeftModel.from_pretrained(base, self.adapters[name])
        return TransformersPolicy(with_adapters, self.policy.tokenizer).sampler

    def _completion(self, request: Request) -> Request:
        sampling = Sampling(
            request["temperature"], request["max_tokens"], stop=tuple(request["stop"])
        )
        self.policy.generator.manual_seed(request["seed"])
        (found,) = self._sampler(request["model"]).sample([request["prompt"]], sampling)
        choice = {
            "text": "the server's own",
            "finish_reason": found.finish_reason,
            "token_ids": list(found.token_ids),
            "prompt_token_ids": request["prompt"],
            "logprobs": {"token_logprobs": list(found.logprobs)},
        }
        return {"choices": [choice], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}
