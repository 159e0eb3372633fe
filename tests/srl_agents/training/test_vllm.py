"""Whole runs whose completions vLLM samples; run by ``make test-vllm``."""

from __future__ import annotations

import json
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from srl_agents.models.small import bpe_tokenizer, build
from srl_agents.objectives import GRPO, NLL
from srl_agents.objectives.batch import Batch, TrainingBatches
from srl_agents.policies import TransformersPolicy
from srl_agents.policies.named import read_spec
from srl_agents.policies.servers.failures import ServerError
from srl_agents.policies.servers.vllm_server import VLLMServerPolicy
from srl_agents.runs.config import OptimizerConfig, PolicyConfig, RunConfig, make_config
from srl_agents.runs.settings import merged
from srl_agents.training.learner import Learner
from srl_agents.training.run import train
from srl_env.errors import BadOption, PolicyFailure
from srl_env.policy import Generation, Sampling
from srl_env.text.prompt import Messages
from srl_tasks.generated.modular_chain import ModularChainEnv
from tests.srl_agents.letters import TOKENIZER, updates
from tests.srl_agents.policies.servers.vllm_started import SERVE, started

# vLLM and what it imports warn of their own deprecations.
pytestmark = pytest.mark.filterwarnings("default")

OTHER = "sequence-mis"


@pytest.fixture
def tree(tree: dict[str, Any]) -> dict[str, Any]:
    engine = {"sampler": "vllm", "engine": {"kv_cache_memory_bytes": 2**26}}
    return merged(tree, {"policy": engine, "budget": {"updates": 30}, "train": {"batch": 8}})


def run(tree: dict[str, Any], **changes: Any) -> list[dict[str, Any]]:
    """The metrics of each update of a run."""
    config = make_config(merged(tree, changes))
    train(config, resume=Path(config.out).exists())
    return updates(Path(config.out))


def largest_gap(lines: Sequence[dict[str, Any]]) -> float:
    """Between sampler and trainer, in nats; updates without a signal measure none."""
    return float(max(line["sampler_gap"] for line in lines if "sampler_gap" in line))


def assert_learned(lines: Sequence[dict[str, Any]]) -> None:
    rewards = [line["reward"] for line in lines]
    assert rewards[0] < 0.4
    assert np.mean(rewards[-5:]) > 0.8


def objective(config: RunConfig) -> GRPO:
    found = config.resolved_method.stages[0].objective
    assert isinstance(found, GRPO)
    return found


def test_where_vllm_samples_the_difference_is_corrected(tree: dict[str, Any]) -> None:
    assert objective(make_config(tree)).sampler_correction == "token-tis"
    for changes, correction in (
        ({"policy": {"sampler": "transformers"}}, None),
        ({"policy": {"sampler_correction": OTHER}}, OTHER),
        ({"policy": {"sampler_correction": "off"}}, None),
        ({"train": {"objective": {"sampler_correction": OTHER}}}, OTHER),
        ({"train": {"objective": {"sampler_correction": "off"}}}, None),
    ):
        found = objective(make_config(merged(tree, changes)))
        assert found.sampler_correction == correction


def test_a_run_on_vllm_learns_as_one_on_transformers_does(
    tree: dict[str, Any], tmp_path: Path
) -> None:
    pytest.importorskip("vllm")
    for sampler in ("vllm", "transformers"):
        lines = run(tree, out=str(tmp_path / sampler), policy={"sampler": sampler})
        assert largest_gap(lines) < 1e-4
        assert ("time/push" in lines[0]) == (sampler == "vllm")
        assert_learned(lines)


def test_a_resumed_run_samples_with_the_checkpoints_weights(
    tree: dict[str, Any], tmp_path: Path
) -> None:
    pytest.importorskip("vllm")
    whole = run(tree, out=str(tmp_path / "whole"), budget={"updates": 6})
    run(tree, out=str(tmp_path / "parts"), budget={"updates": 3})
    parts = run(tree, out=str(tmp_path / "parts"), budget={"updates": 6})
    assert largest_gap(parts) < 1e-4
    assert [line["reward"] for line in parts] == [line["reward"] for line in whole]
    assert [line["tokens"] for line in parts] == [line["tokens"] for line in whole]


def test_adapters_are_trained_on_what_vllm_samples(tree: dict[str, Any]) -> None:
    pytest.importorskip("vllm")
    lines = run(tree, model={"lora": {"rank": 4}}, budget={"updates": 3})
    assert largest_gap(lines) < 1e-4


def test_an_engine_in_this_process_samples_ahead_of_the_updates(tree: dict[str, Any]) -> None:
    pytest.importorskip("vllm")
    lines = run(tree, rollout={"max_staleness": 1, "job_groups": 1})
    assert max(line["staleness/max"] for line in lines) <= 1
    assert all(line["failures"] == 0 for line in lines)
    assert_learned(lines)


def test_each_of_two_processes_has_an_engine_with_the_weights_of_both(
    tree: dict[str, Any], tmp_path: Path
) -> None:
    pytest.importorskip("vllm")
    lines = launched(tree, tmp_path)
    assert largest_gap(lines) < 1e-4  # over the completions of both
    assert lines[0]["episodes"] == 4 * 8


def launched(tree: dict[str, Any], tmp_path: Path) -> list[dict[str, Any]]:
    """The metrics of a run of two processes that share the weights."""
    batch = {"batch": 4, "objective": {"max_groups": 1.0}}
    changes = {"model": {"parallel": "fsdp"}, "budget": {"updates": 4}, "train": batch}
    (tmp_path / "run.json").write_text(json.dumps(merged(tree, changes)))
    launch = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    command = [*launch, "-m", "srl_agents", "train", "--config", str(tmp_path / "run.json")]
    subprocess.run([sys.executable, *command], check=True, timeout=600)
    return updates(tmp_path / "run")


def test_the_documentation_of_vllm_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The section's Python, its command and its configuration."""
    pytest.importorskip("vllm")
    kinds = documented_blocks("In this process")
    kinds = {name: text.replace("Qwen/Qwen3-0.6B", "./tiny") for name, text in kinds.items()}
    monkeypatch.chdir(tmp_path)
    tokenizer = bpe_tokenizer(["Anna has 3 apples. How many?"], vocab_size=300)
    build("llama-1m", tokenizer, seed=0).save_pretrained("tiny")
    tokenizer.save_pretrained("tiny")
    Path("page.py").write_text(kinds["py"], "utf-8")
    runpy.run_path("page.py", run_name="__main__")
    name, *words = shlex.split(kinds["sh"].replace("\\\n", " "))
    command = [str(Path(sys.executable).with_name(name)), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "pass@1" in done.stdout
    config = PolicyConfig(**tomllib.loads(kinds["toml"])["policy"])
    assert config.sampler_correction == PolicyConfig().sampler_correction


@pytest.fixture(scope="module")
def server(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server of the model, started as the documentation says."""
    pytest.importorskip("vllm")
    words = shlex.split(documented_blocks("A server in a training")["sh"].replace("\\\n", " "))
    (development, _, _, model), options = words[:4], words[4:]
    at = options.index("--host")
    assert options[at : at + 4] == ["--host", "localhost", "--port", "8000"]
    assert model == "Qwen/Qwen3-0.6B"
    name, _, value = development.partition("=")
    command = [*SERVE, str(base), *options[:at], *options[at + 4 :]]
    log = tmp_path_factory.mktemp("server") / "log"
    with started(command, log, **{name: value}) as root:
        yield root


def documented_blocks(section: str) -> dict[str, str]:
    """{language: text} of the blocks in a section of the page on vLLM."""
    page = (Path(__file__).parents[3] / "docs/agents/vllm.md").read_text(encoding="utf-8")
    section = page.split(f"\n## {section}\n")[1].split("\n## ")[0]
    return dict(re.findall(r"^```(\w+)\n(.*?)^```$", section, re.DOTALL | re.MULTILINE))


@pytest.fixture
def served(tree: dict[str, Any], server: str) -> dict[str, Any]:
    """The configuration that the documentation gives, with this server."""
    policy = tomllib.loads(documented_blocks("A server in a training")["toml"])["policy"]
    return {**tree, "policy": {**policy, "base_url": server}}


def largest_difference(
    policy: VLLMServerPolicy, model: TransformersPolicy, sampling: Sampling
) -> float:
    """Between the server's log-probs of what it samples and the model's own, in nats."""
    texts = ("abba#", "c#", "abcdab" * 40)
    questions: list[Messages] = [[{"role": "user", "content": text}] for text in texts]
    found = policy.generate(questions * 2, sampling)
    differences = []
    for generation in found:
        assert isinstance(generation, Generation)
        rows = [generation.prompt_ids], [generation.token_ids]
        with torch.no_grad():
            expected, _, _ = model.logprobs(*rows, sampling.temperature or 1.0)
        differences.append((expected[0] - torch.tensor(generation.logprobs)).abs().max())
    return float(max(differences))


def test_after_every_update_a_server_has_the_weights_of_the_model(
    base: Path, server: str, tmp_path: Path
) -> None:
    """The head is tied, and the long prompt is in the server's cache with earlier weights."""
    model = TransformersPolicy.from_pretrained(base, device="cpu")
    policy = VLLMServerPolicy(server, model, tmp_path / "weights.safetensors")
    learner = Learner(model.model, OptimizerConfig(), decoder=model.decoder)
    prompt, answer = (tuple(model.encode([{"role": "user", "content": t}])) for t in ("c#", "cc"))
    weights = torch.full((1,), 0.5, dtype=torch.float64)
    batch = Batch((prompt,), (answer,), torch.zeros(1, dtype=torch.float64), weights)
    sampling = Sampling(0.6, max_tokens=12)
    for update in range(3):
        learner.update(TrainingBatches((batch,)), NLL(), lr=0.02)
        model.weights_changed()
        assert largest_difference(policy, model, sampling) > 0.01, update
        policy.push_weights(model.model)
        for temperature in (0.6, 1.0, 0.0):
            sampling = Sampling(temperature, max_tokens=12)
            assert largest_difference(policy, model, sampling) < 1e-4, (update, temperature)
    policy.close()


def test_a_server_samples_greedily_what_the_model_would_and_stops_where_it_does(
    base: Path, server: str, tmp_path: Path
) -> None:
    model = TransformersPolicy.from_pretrained(base, device="cpu")
    policy = VLLMServerPolicy(server, model, tmp_path / "weights.safetensors")
    policy.push_weights(model.model)
    questions: list[Messages] = [[{"role": "user", "content": t}] for t in ("c#", "abcdab" * 80)]
    whole = model.generate(questions, Sampling(0.0, max_tokens=8))
    stop = whole[0].text[2:4]
    for sampling in (Sampling(0.0, max_tokens=8), Sampling(0.0, 8, stop=(stop, "never"))):
        expected = model.generate(questions, sampling)
        for found, wanted in zip(policy.generate(questions, sampling), expected, strict=True):
            assert isinstance(found, Generation)
            for name in ("text", "token_ids", "prompt_ids", "finish_reason"):
                assert getattr(found, name) == getattr(wanted, name), name
    (failed,) = policy.generate([[{"role": "user", "content": "a" * 512}]], Sampling(0.0))
    assert isinstance(failed, PolicyFailure)
    policy.close()


def test_a_run_on_a_server_learns(served: dict[str, Any]) -> None:
    lines = run(served)
    assert largest_gap(lines) < 1e-4
    assert all(line["failures"] == 0 for line in lines)
    assert "time/push" in lines[0]
    assert_learned(lines)


@pytest.mark.parametrize("continues", [False, True])
def test_a_server_samples_ahead_of_the_updates(served: dict[str, Any], continues: bool) -> None:
    rollout = {"max_staleness": 1, "job_groups": 1, "continue_episodes": continues}
    served["policy"]["base_url"] = [served["policy"]["base_url"]]
    lines = run(served, rollout=rollout)
    assert max(line["staleness/max"] for line in lines) <= 1
    assert all(line["failures"] == line["workers/lost"] == 0 for line in lines)
    assert_learned(lines)


def test_adapters_are_trained_on_what_a_server_samples(served: dict[str, Any]) -> None:
    lines = run(served, model={"lora": {"rank": 4}}, budget={"updates": 3})
    assert largest_gap(lines) < 1e-4


def test_two_processes_share_a_server_with_the_weights_of_both(
    served: dict[str, Any], tmp_path: Path
) -> None:
    lines = launched(served, tmp_path)
    assert largest_gap(lines) < 1e-4
    assert lines[0]["episodes"] == 4 * 8


def test_a_server_of_another_model_is_refused(server: str, tmp_path: Path) -> None:
    other = TransformersPolicy(build("llama-1m", TOKENIZER, seed=0), TOKENIZER)
    with pytest.raises(BadOption, match="as of the trained model"):
        VLLMServerPolicy(server, other, tmp_path / "weights.safetensors")


def test_weights_that_a_server_cannot_read_end_the_run_and_not_the_server(
    base: Path, server: str, tmp_path: Path
) -> None:
    model = TransformersPolicy.from_pretrained(base, device="cpu")
    policy = VLLMServerPolicy(server, model, tmp_path / "weights.safetensors")
    with pytest.raises(ServerError, match="No such file"):
        policy._rpc("receive_checkpoint", str(tmp_path / "none.safetensors"))
    policy.push_weights(model.model)
    assert largest_difference(policy, model, Sampling(1.0, max_tokens=12)) < 1e-4
    policy.close()


def test_only_a_model_can_be_run_by_the_engine() -> None:
    with pytest.raises(BadOption, match="vllm:expert"):
        read_spec("vllm:expert")
    with pytest.raises(BadOption, match="'cuda'"):
        read_spec("vllm:./model").load(ModularChainEnv(), device="cuda")
