"""``OpenAIPolicy`` against vLLM's own server; run by ``make test-vllm``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
import transformers

import srl_env
from srl_agents.evaluation.evaluator import evaluate
from srl_agents.models.small import build, character_tokenizer
from srl_agents.policies import OpenAIPolicy, TransformersPolicy
from srl_agents.policies.servers.failures import RequestRefused
from srl_agents.policies.servers.vllm_server import VLLMServerPolicy
from srl_agents.runs.evaluation import EvalSettings
from srl_env.errors import BadOption
from srl_env.policy import Generation, Sampling
from srl_env.text.prompt import Message
from tests.srl_agents.policies.servers.vllm_started import SERVE, started

pytestmark = pytest.mark.filterwarnings("default")

ALPHABET = "0123456789abcdefghijklmnopqrst+-*,:?>();#"
TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}#"
DEVELOPMENT = {"VLLM_SERVER_DEV_MODE": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}


@pytest.fixture(scope="module")
def model() -> TransformersPolicy:
    """The model that is served."""
    config = transformers.LlamaConfig(
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=2,
        tie_word_embeddings=True,
        initializer_range=0.2,
        max_position_embeddings=256,
    )
    tokenizer = character_tokenizer(ALPHABET)
    tokenizer.chat_template = TEMPLATE
    return TransformersPolicy(build(config, tokenizer, seed=0), tokenizer)


@pytest.fixture(scope="module")
def server(model: TransformersPolicy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running server, which was not started for a training."""
    pytest.importorskip("vllm")
    folder = tmp_path_factory.mktemp("served")
    model.save(folder)
    command = [*SERVE, str(folder), "--served-model-name", "tiny", "--dtype", "float32"]
    with started([*command, "--max-model-len", "256"], folder / "log", **DEVELOPMENT) as root:
        yield f"{root}/v1"


def asked(*texts: str) -> list[list[Message]]:
    return [[{"role": "user", "content": text}] for text in texts]


@pytest.mark.parametrize("api", ["chat", "completions"])
def test_ids_and_logprobs_are_those_of_the_model(
    server: str, model: TransformersPolicy, api: Literal["chat", "completions"]
) -> None:
    extra: dict[str, Any] = {"return_token_ids": True}
    policy = OpenAIPolicy("tiny", base_url=server, api=api, seed=1, extra_body=extra)
    found = policy.generate(asked("a:12+30,b:?", "7*8"), Sampling(1.0, max_tokens=16))
    for generation in found:
        assert isinstance(generation, Generation)
        assert len(generation.token_ids) == len(generation.logprobs) > 0
        with torch.no_grad():
            expected, _, _ = model.logprobs([generation.prompt_ids], [generation.token_ids])
        assert generation.logprobs == pytest.approx(expected[0].tolist(), abs=1e-4)
    if api == "chat":
        prompts = model.encode_many(asked("a:12+30,b:?", "7*8"))
        assert [g.prompt_ids for g in found if isinstance(g, Generation)] == [
            tuple(prompt) for prompt in prompts
        ]
    assert policy.usage.completion_tokens == sum(
        len(g.token_ids) for g in found if isinstance(g, Generation)
    )


def test_the_stop_string_is_put_back(server: str, model: TransformersPolicy) -> None:
    (whole,) = model.generate(asked("a:12+30,b:?"), Sampling(0.0, max_tokens=16))
    stop = whole.text[2:4]
    policy = OpenAIPolicy("tiny", base_url=server)
    (cut,) = policy.generate(asked("a:12+30,b:?"), Sampling(0.0, 16, stop=(stop, "never")))
    assert isinstance(cut, Generation)
    assert cut.text == whole.text[: whole.text.find(stop) + len(stop)]
    assert cut.finish_reason == "stop"


def test_a_prompt_that_is_too_long_fails_alone(server: str) -> None:
    policy = OpenAIPolicy("tiny", base_url=server, retries=0)
    long, short = policy.generate(asked("1" * 400, "1"), Sampling(max_tokens=4))
    assert isinstance(long, RequestRefused)
    assert isinstance(short, Generation)


def test_an_evaluation_through_the_server_ends_without_failures(server: str) -> None:
    policy = OpenAIPolicy("tiny", base_url=server, seed=0)
    settings = EvalSettings(problems=4, rollouts=2, max_tokens=8, max_steps=2)
    result = evaluate(
        policy, lambda: srl_env.make("srl/ModularChain-v0", difficulty=1, split="test"), settings
    )
    assert not result.failures
    assert 0.0 <= result.estimates()["pass@1"].value <= 1.0


def test_a_server_whose_workers_take_no_weights_is_refused(
    server: str, model: TransformersPolicy, tmp_path: Path
) -> None:
    with pytest.raises(BadOption, match=r"take no weights .* --worker-extension-cls srl_agents"):
        VLLMServerPolicy(server, model, tmp_path / "weights")
