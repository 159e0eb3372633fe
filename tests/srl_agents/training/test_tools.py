"""Trainings on environments with tools: native calls, a reward for each, histories of token ids."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from srl_agents.models.small import build
from srl_agents.policies import TransformersPolicy
from srl_agents.policies.sampler import Training
from srl_agents.runs.config import make_config
from srl_agents.runs.settings import merged
from srl_agents.training.run import train
from srl_env.environment import ReasoningEnv
from srl_env.policy import Generation, Sampling
from srl_env.registration import make
from srl_env.text.prompt import Messages
from tests.srl_agents.letters import lines, updates
from tests.srl_agents.policies.tool_templates import tool_tokenizer

ENVIRONMENTS: dict[str, dict[str, Any]] = {
    "srl/ToolShop-v0": {"difficulty": 1, "max_problems": 1, "max_steps": 3},
    "srl/SWE-v0": {"max_steps": 3},
}


class Half:
    """Writes one call in even rows and another in odd ones, with the model's log-probs."""

    native_tools = True

    def __init__(self, training: Training) -> None:
        assert training.policy is not None
        self.policy: TransformersPolicy = training.policy
        self.generator = torch.Generator()
        self.prompts: list[list[int]] = []

    @classmethod
    def for_training(cls, training: Training) -> Half:
        return cls(training)

    def generate(self, batch: Sequence[Messages], sampling: Sampling) -> list[Generation]:
        encoder = self.policy._prompts
        how = encoder.native(sampling)
        prompts = self.policy.encode_many(batch, how.prefill, how.tools, how.turns)
        made = []
        for row, (messages, prompt) in enumerate(zip(batch, prompts, strict=True)):
            turn = sum(message["role"] == "assistant" for message in messages)
            text = "<think>hm</think>\n" + self.policy.write_call(*self._call(turn, row, how))
            ids = tuple(self.policy.tokenizer.encode(text, add_special_tokens=False))
            with torch.no_grad():
                scores, _, _ = self.policy.logprobs([prompt], [ids])
            logprobs = tuple(scores[0].tolist())
            made.append(encoder.generation(prompt, ids, logprobs, "stop", how))
        return made

    def _call(self, turn: int, row: int, how: Sampling) -> Any:
        name = how.tools[0].name
        arguments = dict.fromkeys(how.tools[0].parameters, f"{turn}")
        if name == "lookup":
            field = "price" if row % 2 else "city"
            arguments = {"table": "products", "key": "lamp", "field": field}
        elif row % 2:
            arguments = {"command": "ls"}
        return (name, arguments), how.tools

    def push_weights(self, model: Any) -> None:
        pass

    def close(self) -> None:
        pass


def tree(folder: Path, name: str, method: str) -> dict[str, Any]:
    tokenizer = tool_tokenizer("qwen")
    build("lfm2-0.3m", tokenizer, seed=0).save_pretrained(folder / "base")
    tokenizer.save_pretrained(folder / "base")
    return {
        "out": str(folder / "run"),
        "env": {"id": name, "options": ENVIRONMENTS[name]},
        "model": {"path": str(folder / "base"), "device": "cpu"},
        "method": method,
        "budget": {"updates": 1},
        "train": {"batch": 2},
        "log": {"tensorboard": False, "rollouts_every": 1},
    }


def test_calls_are_rewarded_one_by_one_in_histories_of_token_ids(tmp_path: Path) -> None:
    changes = {
        "policy": {"sampler": f"{__name__}:Half"},
        "train": {
            "objective": {
                "reward_mode": "srl", "continuation": "policy", "group_size": 2, "max_tokens": 200,
            }
        },
    }  # fmt: skip
    settings = merged(tree(tmp_path, "srl/ToolShop-v0", "rlvr"), changes)
    train(make_config(settings))
    (update,) = updates(tmp_path / "run")
    assert update["drift_fraction"] == 0.0
    assert (update["steps"], update["format_fraction"]) == (3.0, 1.0)
    assert update["groups/trained"] == 2.0
    assert update["grad_norm"] > 0
    assert update["sampler_gap"] < 1e-3  # trained on in the prompts of sampling


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_experts_steps_are_fine_tuned_on_as_native_calls(tmp_path: Path, name: str) -> None:
    train(make_config(tree(tmp_path, name, "sft")))
    assert lines(tmp_path / "run")


def test_a_repository_task_shows_native_calls_and_results() -> None:
    env = make("srl/SWE-v0", context_turns=None).unwrapped
    assert isinstance(env, ReasoningEnv)
    _, info = env.reset(seed=0, options={"native_tools": True, "start_step": 2})
    roles = [message["role"] for message in info["messages"]]
    assert roles == ["system", "user", "assistant", "tool", "assistant", "tool"]
    call = info["messages"][2]["tool_calls"][0]["function"]
    assert call["name"] in {"bash", "str_replace_editor"}
    assert "<function=" not in str(info["messages"])
    env.close()
