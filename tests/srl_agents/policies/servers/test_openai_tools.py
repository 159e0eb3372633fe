"""Native tools over loopback: the exact requests, and what answers become."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from srl_agents.policies.servers.openai import OpenAIPolicy
from srl_agents.policies.servers.vllm_server import VLLMServerPolicy
from srl_agents.training.retokenization import drift_fraction
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadOption
from srl_env.policy import Sampling
from srl_env.rollout import EnvPool, Episode, Start, rollout
from tests.srl_agents.policies.servers.loopback import Loopback, refuses
from tests.srl_agents.policies.servers.vllm_fake import FakeVLLM
from tests.srl_agents.policies.test_native_tools import expert_calls, play, scripted, shop
from tests.srl_agents.policies.tool_templates import tool_tokenizer

pytest.importorskip("openai")

Make = Callable[..., OpenAIPolicy]


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[OpenAIPolicy] = []

    def build(server: Loopback, **options: Any) -> OpenAIPolicy:
        made.append(OpenAIPolicy("m", base_url=server.base_url, backoff_s=0.01, **options))
        return made[-1]

    yield build
    for policy in made:
        policy.close()


def calls(*named: tuple[str, Any], content: str | None = None) -> dict[str, Any]:
    """An answer with tool calls; arguments that are a text are sent as they are."""
    made = [
        {
            "id": f"call_{number}",
            "type": "function",
            "function": {"name": n, "arguments": a if isinstance(a, str) else json.dumps(a)},
        }
        for number, (n, a) in enumerate(named)
    ]
    message = {"role": "assistant", "content": content, "tool_calls": made}
    return {"choices": [{"message": message, "finish_reason": "tool_calls"}], "usage": {}}


def answers(*script: dict[str, Any]) -> Callable[[Any], dict[str, Any]]:
    left = list(script)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


def played(policy: OpenAIPolicy, env: ReasoningEnv, **options: Any) -> Episode:
    start = Start({"continuation": "policy", **options}, seed=0)
    (episode,) = rollout(EnvPool(lambda: env), policy, [start], Sampling(max_tokens=99))
    return episode


def test_tools_and_history_are_sent_and_calls_come_back_as_steps(make: Make) -> None:
    env = shop()
    env.reset(seed=0)
    experts = [env.format.call_of(step.action) for step in env.expert_steps]  # type: ignore[attr-defined]
    with Loopback(answer=answers(*[calls(call) for call in experts])) as server:
        episode = played(make(server), env)
        requests = server.requests
    assert episode.correct
    assert [step.action for step in episode.steps] == [step.action for step in env.expert_steps]
    first, _, last = requests
    assert first["tools"] == [tool.schema() for tool in env.format.tools]  # type: ignore[attr-defined]
    assert [message["role"] for message in first["messages"]] == ["system", "user"]
    assert "lookup" not in first["messages"][0]["content"]
    assert "stop" not in first
    name, arguments = experts[0]
    assert last["messages"][2:4] == [
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {
                    "id": "call00000",
                    "type": "function",
                    "function": {"name": name, "arguments": json.dumps(arguments)},
                }
            ],
        },
        {"role": "tool", "content": env.history[0].observation, "tool_call_id": "call00000"},
    ]


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (calls(("lookup", '{"table": "products", ')), "arguments must be a JSON object"),
        (calls(("lookup", '"lamp"')), "arguments must be a JSON object"),
        (calls(("look", {"key": "lamp"})), "name must be one of"),
        (calls(("answer", {"value": "7"})), "value must be of type integer"),
        (calls(("answer", {"value": 7}), ("answer", {"value": 8})), "exactly one call"),
        (
            {"choices": [{"message": {"content": "I do not know."}, "finish_reason": "stop"}]},
            "there is no call",
        ),
    ],
)
def test_a_malformed_call_is_a_wrong_step_and_never_a_failure(
    make: Make, answer: dict[str, Any], fault: str
) -> None:
    env = shop(max_steps=2)
    with Loopback(answer=answers(answer)) as server:
        episode = played(make(server), env, reward_mode="srl")
        second = server.requests[1]["messages"][2:]
    assert (episode.failure, len(episode.steps)) == (None, 2)
    assert [step.reward for step in episode.steps] == [-1.0, -1.0]
    assert [message["role"] for message in second] == ["assistant", "user"]
    assert fault in env.format.parse(episode.steps[0].generation.text).problem_found  # type: ignore[operator]


def test_a_server_without_tools_is_answered_with_the_option_that_helps(make: Make) -> None:
    refusal = refuses(400, '"auto" tool choice requires --enable-auto-tool-choice')
    with Loopback(refusal) as server, pytest.raises(BadOption, match="tools=False"):
        played(make(server), shop())
    with Loopback(answer=answers({"choices": [{"message": {"content": "no"}}]})) as server:
        played(make(server, tools=False), shop(max_steps=1))
        (request,) = server.requests
    assert "tools" not in request
    assert "You have these tools" in request["messages"][0]["content"]


def test_a_vllm_server_gets_histories_of_token_ids(tmp_path: Path) -> None:
    tokenizer, env = tool_tokenizer("qwen"), shop()
    policy, _ = scripted(tokenizer, [])
    texts = [f"<think>hm</think>\n{call}" for call in expert_calls(env, policy)]
    policy, _ = scripted(tokenizer, texts)
    trained, _ = scripted(tokenizer, [])
    with FakeVLLM(policy, max_model_len=8192) as server:
        sampler = VLLMServerPolicy(server.root, trained, tmp_path / "weights.safetensors")
        episode = play(sampler, env)
        sampler.close()
    assert episode.correct
    assert drift_fraction([episode]) == 0.0
    assert "hm" in tokenizer.decode(list(episode.steps[2].generation.prompt_ids))
