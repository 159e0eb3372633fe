"""What samples for a training: your own class in a file, and what it must have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from srl_agents.cli.main import app
from srl_agents.policies import own
from srl_agents.policies.loading import load_sampler, load_worker, worker_weights
from srl_agents.policies.trained import load_policy
from srl_agents.policies.transformers import TransformersPolicy
from srl_agents.runs.config import ModelConfig, PolicyConfig, make_config
from srl_agents.runs.settings import merged
from srl_agents.training.run import train
from srl_env.errors import BadOption
from tests.srl_agents import letters

CODE = """
import math
import torch
from srl_env import Generation
from tests.srl_agents.letters import LETTERS, TOKENIZER

class Even:
    # Writes letters, each as probable, whatever the weights are.

    def __init__(self, letters=LETTERS):
        self.letters, self.generator = letters, torch.Generator()

    def generate(self, batch, sampling):
        return [self.sample(messages[-1]["content"], sampling.max_tokens) for messages in batch]

    def sample(self, prompt, tokens):
        drawn = torch.randint(len(self.letters), (min(tokens, 4),), generator=self.generator)
        text = "".join(self.letters[i] for i in drawn)
        ids = TOKENIZER(text)["input_ids"]
        logprobs = [-math.log(len(self.letters))] * len(ids)
        return Generation(text, tuple(ids), tuple(logprobs), tuple(TOKENIZER(prompt)["input_ids"]))

    def push_weights(self, model):
        EVENTS.append(next(model.parameters()).sum().item())

    def close(self):
        EVENTS.append("closed")

EVENTS = []
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "even_sampler.py"
    path.write_text(CODE)
    return path


@pytest.fixture
def trained(tmp_path: Path) -> tuple[ModelConfig, TransformersPolicy]:
    model = ModelConfig(path=str(letters.save_base(tmp_path / "base")), device="cpu")
    return model, load_policy(model, 0, None)


def test_a_policy_in_one_file_is_evaluated_and_samples_for_a_training(
    file: Path, tmp_path: Path
) -> None:
    arguments = ["eval", "--policy", str(file), "--env", letters.__file__, "--out"]
    done = CliRunner().invoke(app, [*arguments, str(tmp_path / "eval"), "-n", "4", "-r", "2"])
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "eval/result.json").read_text())["failures"] == {}

    base = letters.save_base(tmp_path / "base")
    changes = {"policy": {"sampler": str(file)}, "budget": {"updates": 2}}
    train(make_config(merged(letters.settings(base, tmp_path / "run"), changes)))
    first, second = letters.updates(tmp_path / "run")
    assert first["sampler_gap"] > 0  # between even probabilities and a model's
    assert second["tokens"] > 0
    *weights, last = own.find(f"{file}:EVENTS")
    assert len(set(weights)) == 3  # before the first update, and after each
    assert last == "closed"


def test_arguments_and_a_seed_reach_your_own_sampler(
    file: Path, tmp_path: Path, trained: Any
) -> None:
    model, policy = trained
    settings = PolicyConfig(sampler=f"{file}:Even", engine={"letters": "ab"})
    made: list[Any] = [load_sampler(settings, model, s, policy, tmp_path) for s in (1, 1, 2)]
    first, second, other = (sampler.generator.initial_seed() for sampler in made)
    assert first == second != other
    assert made[0].letters == "ab"


@pytest.mark.parametrize("lacks", ["generator", "close"])
def test_a_sampler_that_lacks_something_says_what(tmp_path: Path, trained: Any, lacks: str) -> None:
    path = tmp_path / f"without_{lacks}.py"
    path.write_text(CODE.replace(lacks, f"no_{lacks}"))
    with pytest.raises(BadOption, match=f"policy.sampler must have .*lacks {lacks}"):
        load_sampler(PolicyConfig(sampler=str(path)), trained[0], 0, trained[1], tmp_path)


def test_a_worker_takes_the_weights_that_training_changes(file: Path, trained: Any) -> None:
    model, policy = trained
    policy.model.model.norm.weight.data.zero_()
    worker = load_worker(PolicyConfig(), model, 0, gpus=0)
    worker.load_weights(worker_weights(PolicyConfig(), policy.model))
    assert not worker.model.model.norm.weight.any()
    with pytest.raises(BadOption, match="must have weights, load_weights; .* lacks weights"):
        worker_weights(PolicyConfig(sampler=str(file)), policy.model)
