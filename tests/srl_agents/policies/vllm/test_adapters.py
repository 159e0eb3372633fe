"""Adapters in vLLM's engine, a fake here: what it is made with, given, and told to drop."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import peft
import pytest
import torch
from safetensors.torch import load_file

from srl_agents.policies import VLLMPolicy
from srl_agents.policies.sampler import Training
from srl_agents.policies.vllm.adapters import largest_rank
from srl_agents.runs.config import LoraConfig, ModelConfig, PolicyConfig
from srl_env.policy import Sampling
from tests.srl_agents import letters

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")  # peft's


@dataclass
class LoRARequest:
    """Adapters that the engine is asked to load."""

    lora_name: str
    lora_int_id: int
    lora_path: str


class Engine:
    """What ``vllm.LLM`` was made with and what it was given since."""

    def __init__(self, model: str, **options: Any) -> None:
        self.options, self.calls = options, list[tuple[str, Any]]()
        self.used: list[Any] = []
        self.llm_engine = SimpleNamespace(
            add_lora=lambda request: self.calls.append(("add", request.lora_int_id)),
            remove_lora=lambda number: self.calls.append(("remove", number)),
            engine_core=SimpleNamespace(shutdown=lambda: None),
        )
        self.model_config = SimpleNamespace(
            max_model_len=64,
            hf_config=SimpleNamespace(eos_token_id=1),
            try_get_generation_config=dict,
        )

    def get_tokenizer(self) -> Any:
        return letters.TOKENIZER

    def reset_prefix_cache(self) -> bool:
        self.calls.append(("reset", None))
        return True

    def collective_rpc(self, method: str, args: tuple[Any, ...]) -> None:
        self.calls.append((method, sorted(name for name, _ in args[0])))

    def generate(self, requests: list[Any], params: Any, **options: Any) -> list[Any]:
        self.used.append(options.get("lora_request"))
        one = SimpleNamespace(
            token_ids=[4],
            logprobs=[{4: SimpleNamespace(logprob=-0.5)}],
            finish_reason="length",
        )
        return [SimpleNamespace(outputs=[one]) for _ in requests]


@pytest.fixture(autouse=True)
def vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake package."""
    package, lora, request = (ModuleType(n) for n in ("vllm", "vllm.lora", "vllm.lora.request"))
    vars(package).update(LLM=Engine, SamplingParams=SimpleNamespace)
    vars(request)["LoRARequest"] = LoRARequest
    for module in (package, lora, request):
        monkeypatch.setitem(sys.modules, module.__name__, module)


def adapted(rank: int = 4) -> Any:
    settings = peft.LoraConfig(r=rank, target_modules="all-linear", init_lora_weights=False)
    return peft.get_peft_model(letters.base(), settings)


def test_an_engine_with_lora_gets_adapters_of_every_version() -> None:
    policy = VLLMPolicy("a model", enable_lora=True)
    engine: Engine = policy.llm
    model = adapted()
    policy.push_weights(model)
    policy.generate([[{"role": "user", "content": "a"}]], Sampling(max_tokens=1))
    first = engine.used[-1]
    saved = json.loads((Path(first.lora_path) / "adapter_config.json").read_text())
    assert (saved["r"], saved["peft_type"]) == (4, "LORA")
    weights = load_file(Path(first.lora_path) / "adapter_model.safetensors")
    key = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
    expected = model.base_model.model.model.layers[0].self_attn.q_proj.lora_A["default"].weight
    assert torch.equal(weights[key], expected)

    policy.push_weights(model)
    policy.generate([[{"role": "user", "content": "a"}]], Sampling(max_tokens=1))
    assert engine.used[-1].lora_int_id == 2
    assert not Path(first.lora_path).exists()
    assert engine.calls == [("add", 1), ("reset", None), ("add", 2), ("remove", 1), ("reset", None)]
    policy.close()
    assert not Path(engine.used[-1].lora_path).exists()


def test_an_engine_without_lora_gets_merged_weights() -> None:
    policy = VLLMPolicy("a model")
    policy.push_weights(adapted())
    (name, sent), (reset, _) = policy.llm.calls
    assert (name, reset) == ("receive_weights", "reset")
    assert "model.layers.0.self_attn.q_proj.weight" in sent
    policy.generate([[{"role": "user", "content": "a"}]], Sampling(max_tokens=1))
    assert policy.llm.used == [None]


def test_a_training_makes_an_engine_with_room_for_its_rank() -> None:
    model = ModelConfig(path="a model", lora=LoraConfig(rank=20))
    settings = PolicyConfig(sampler="vllm", engine={"enable_lora": True})
    policy = VLLMPolicy.for_training(Training(settings, model, seed=0))
    assert policy.llm.options["max_lora_rank"] == 32
    assert [largest_rank(rank) for rank in (1, 8, 9, 512)] == [8, 8, 16, 512]
