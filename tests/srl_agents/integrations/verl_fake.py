"""As much of verl 0.9.1's ``verl.experimental.agent_loop.agent_loop`` as an agent loop meets.

The records have verl's fields, checks and defaults; the base class its constructor, its attributes
and the calls that our loop makes. What it stands on there (a server, continuous tokens) is small.
"""

from __future__ import annotations

import asyncio
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any, Optional

from pydantic import BaseModel


class AgentLoopMetrics(BaseModel):
    generate_sequences: float = 0.0
    tool_calls: float = 0.0
    compute_score: float = 0.0
    num_preempted: int = -1


class AgentLoopOutput(BaseModel):
    prompt_ids: list[int]
    response_ids: list[int]
    response_mask: list[int]
    response_logprobs: Optional[list[float]] = None  # noqa: UP045  # as verl writes it
    routed_experts: Any = None
    multi_modal_data: Optional[dict[str, Any]] = None  # noqa: UP045
    reward_score: Optional[float] = None  # noqa: UP045
    num_turns: int = 0
    metrics: AgentLoopMetrics
    extra_fields: dict[str, Any] = {}  # pydantic copies it
    mm_processor_kwargs: Optional[dict[str, Any]] = None  # noqa: UP045
    mm_processor_output: Optional[list[dict[str, Any]]] = None  # noqa: UP045


class TokenOutput(BaseModel):
    token_ids: list[int]
    log_probs: Optional[list[float]] = None  # noqa: UP045
    stop_reason: Optional[str] = None  # noqa: UP045
    num_preempted: Optional[int] = None  # noqa: UP045
    extra_fields: dict[str, Any] = {}


class AgentLoopBase(ABC):
    def __init__(
        self,
        trainer_config: Any,
        server_manager: Any,
        tokenizer: Any,
        processor: Any,
        dataset_cls: Any,
        data_config: Any,
        hf_model_type: str | None = None,
        **kwargs: Any,
    ) -> None:
        self.config = trainer_config.config
        self.rollout_config = self.config.actor_rollout_ref.rollout
        self.server_manager, self.tokenizer, self.processor = server_manager, tokenizer, processor
        self.dataset_cls, self.data_config = dataset_cls, data_config.config
        self.loop = asyncio.get_event_loop()

    async def ct_build_initial_tokens(self, messages: list[dict[str, Any]]) -> list[int]:
        text = "".join(message["content"] for message in messages)
        ids: list[int] = self.tokenizer(text)["input_ids"]
        return ids[-self.rollout_config.prompt_length :]

    @abstractmethod
    async def run(self, sampling_params: dict[str, Any], **kwargs: Any) -> AgentLoopOutput:
        raise NotImplementedError


registry: dict[str, dict[str, str]] = {}


def register(agent_name: str) -> Callable[[type], type]:
    def decorator(subclass: type) -> type:
        registry[agent_name] = {"_target_": f"{subclass.__module__}.{subclass.__qualname__}"}
        return subclass

    return decorator


class Server:
    """Says a script; notes what it was asked."""

    def __init__(self, tokenizer: Any, *said: str) -> None:
        self.tokenizer, self.said = tokenizer, list(said)
        self.asked: list[dict[str, Any]] = []

    async def generate(
        self, request_id: str, *, prompt_ids: list[int], sampling_params: dict[str, Any]
    ) -> TokenOutput:
        asked = {"id": request_id, "prompt_ids": prompt_ids, "sampling_params": sampling_params}
        self.asked.append(asked)
        ids = self.tokenizer(self.said.pop(0))["input_ids"][: sampling_params["max_tokens"]]
        return TokenOutput(token_ids=ids, log_probs=[-0.5] * len(ids))


def workers_arguments(
    tokenizer: Any, server: Server, prompt_length: int = 1000, response_length: int = 100
) -> dict[str, Any]:
    """What verl's worker gives to the constructor of every loop."""
    rollout = SimpleNamespace(prompt_length=prompt_length, response_length=response_length)
    config = SimpleNamespace(actor_rollout_ref=SimpleNamespace(rollout=rollout), data={})
    return {
        "trainer_config": SimpleNamespace(config=config),
        "server_manager": server,
        "tokenizer": tokenizer,
        "processor": None,
        "hf_model_type": "llama",
        "dataset_cls": object,
        "data_config": SimpleNamespace(config={}),
        "tools": SimpleNamespace(tools=[]),
        "name": "srl_env",  # of the YAML file
    }


@contextmanager
def installed() -> Iterator[None]:
    """verl can be imported, as long as it lasts."""
    names = ["verl", "verl.experimental", "verl.experimental.agent_loop"]
    modules = {name: ModuleType(name) for name in names}
    modules["verl.experimental.agent_loop.agent_loop"] = sys.modules[__name__]
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
