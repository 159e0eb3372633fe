"""A vLLM server as a training's sampler: what is sent, what is refused, and what fails.

Here the server is a fake; vLLM's own is in ``test_vllm_server.py`` and ``test_vllm_training.py``.
"""

from __future__ import annotations

import copy
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file

from srl_agents.models.small import build, character_tokenizer
from srl_agents.policies import TransformersPolicy
from srl_agents.policies.servers.failures import (
    BadAnswer,
    RequestRefused,
    ServerError,
    ServerUnreachable,
)
from srl_agents.policies.servers.vllm_server import VLLMServerPolicy
from srl_agents.policies.vllm.worker import model_shape
from srl_agents.runs.checkpoint import CannotWrite
from srl_agents.runs.config import make_config
from srl_agents.runs.settings import merged
from srl_agents.training.run import train
from srl_env.errors import BadOption, PolicyFailure
from srl_env.policy import Generation, Sampling
from srl_env.text.prompt import Message
from tests.srl_agents import letters
from tests.srl_agents.policies.servers.loopback import Reply, hangs_up, refuses, says, stalls
from tests.srl_agents.policies.servers.vllm_fake import FakeVLLM

pytest.importorskip("openai")

ALPHABET = "0123456789abcdefghijklmnopqrst+-*,:?>();#"
GREEDY = Sampling(0.0, max_tokens=8)


def make_policy(seed: int = 0) -> TransformersPolicy:
    config = transformers.LlamaConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        tie_word_embeddings=True,
        initializer_range=0.2,
    )
    tokenizer = character_tokenizer(ALPHABET)
    return TransformersPolicy(build(config, tokenizer, seed=seed), tokenizer)


@pytest.fixture
def trained() -> TransformersPolicy:
    """The model that is trained; the server's has other weights."""
    return make_policy()


@pytest.fixture
def server() -> Iterator[FakeVLLM]:
    with FakeVLLM(make_policy(seed=1)) as server:
        yield server


@pytest.fixture
def connect(
    trained: TransformersPolicy, tmp_path: Path
) -> Iterator[Callable[[FakeVLLM], VLLMServerPolicy]]:
    """Makes policies that do not wait before they try again."""
    made: list[VLLMServerPolicy] = []

    def connect(server: FakeVLLM) -> VLLMServerPolicy:
        made.append(VLLMServerPolicy(server.root, trained, tmp_path / "weights.safetensors"))
        made[-1].backoff_s, made[-1].retries = 0.0, 1
        return made[-1]

    yield connect
    for policy in made:
        policy.close()


Connect = Callable[[FakeVLLM], VLLMServerPolicy]


def asked(*texts: str) -> list[list[Message]]:
    return [[{"role": "user", "content": text}] for text in texts]


def test_it_samples_token_by_token_what_the_pushed_model_would(
    server: FakeVLLM, connect: Connect, trained: TransformersPolicy
) -> None:
    policy = connect(server)
    questions = asked("a:12+30,b:?", "7*8")
    expected = trained.generate(questions, GREEDY)
    before = {g.text for g in policy.generate(questions, GREEDY) if isinstance(g, Generation)}
    assert len(before) == 2
    assert before.isdisjoint(g.text for g in expected)
    policy.push_weights(trained.model)
    for found, wanted in zip(policy.generate(questions, GREEDY), expected, strict=True):
        assert isinstance(found, Generation)
        assert found.logprobs == pytest.approx(wanted.logprobs, abs=1e-4)
        for name in ("text", "token_ids", "prompt_ids", "finish_reason"):
            assert getattr(found, name) == getattr(wanted, name), name


def test_a_request_names_ids_ends_and_a_seed_of_its_own(
    server: FakeVLLM, connect: Connect, trained: TransformersPolicy
) -> None:
    policy = connect(server)
    policy.generate(asked("1+1", "1+1"), Sampling(0.7, max_tokens=5, stop=("#", "")))
    first, second = (request for request in server.requests if "prompt" in request)
    assert first["path"] == "/v1/completions"
    assert first["prompt"] == trained.encode(asked("1+1")[0])
    assert (first["model"], first["temperature"], first["max_tokens"]) == ("served", 0.7, 5)
    assert (first["stop"], first["logprobs"]) == (["#"], 0)
    assert first["stop_token_ids"] == sorted(trained.stop_ids)
    assert first["ignore_eos"]
    assert first["include_stop_str_in_output"]
    assert first["return_token_ids"]
    assert first["seed"] != second["seed"]


def test_a_prompt_that_fills_the_context_fails_alone_and_completions_end_with_it(
    server: FakeVLLM, connect: Connect
) -> None:
    policy = connect(server)
    long, nearly, short = policy.generate(asked("1" * 64, "1" * 60, "1"), Sampling(max_tokens=9))
    assert isinstance(long, PolicyFailure)
    assert "64 tokens leaves no room for a completion in 64 positions" in str(long)
    assert isinstance(nearly, Generation)
    assert isinstance(short, Generation)
    assert sorted(r["max_tokens"] for r in server.requests if "prompt" in r) == [4, 9]


def test_every_push_replaces_the_file_and_forgets_prefixes(
    server: FakeVLLM, connect: Connect, trained: TransformersPolicy, tmp_path: Path
) -> None:
    policy = connect(server)
    for factor in (1.0, 2.0):
        with torch.no_grad():
            trained.model.model.norm.weight.fill_(factor)
        policy.push_weights(trained.model)
        weights = load_file(tmp_path / "weights.safetensors")
        assert weights["model.norm.weight"][0] == factor
        assert "lm_head.weight" not in weights
    assert [path.name for path in tmp_path.iterdir()] == ["weights.safetensors"]
    assert server.handed == [str(tmp_path / "weights.safetensors")] * 2
    paths = [request["path"] for request in server.requests]
    assert paths == ["/collective_rpc"] + ["/collective_rpc", "/reset_prefix_cache"] * 2


@pytest.mark.filterwarnings("ignore::FutureWarning")  # peft reads names transformers retires
def test_adapters_are_merged_into_what_is_pushed(
    server: FakeVLLM, connect: Connect, trained: TransformersPolicy
) -> None:
    settings = peft.LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False)
    adapted = peft.get_peft_model(copy.deepcopy(trained.model), settings)
    connect(server).push_weights(adapted)
    expected = adapted.merge_and_unload().state_dict()
    for name, value in server.policy.model.named_parameters():
        torch.testing.assert_close(value.detach(), expected[name])


def adapted(trained: TransformersPolicy, seed: int = 0, rank: int = 2) -> Any:
    """A copy of the model with random adapters."""
    settings = peft.LoraConfig(r=rank, target_modules="all-linear", init_lora_weights=False)
    torch.manual_seed(seed)
    return peft.get_peft_model(copy.deepcopy(trained.model), settings)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")  # peft's own
def test_a_server_with_lora_gets_adapters_and_keeps_its_base(
    connect: Connect, trained: TransformersPolicy, tmp_path: Path
) -> None:
    with FakeVLLM(make_policy(), adapter_rank=8) as server:
        policy = connect(server)
        before = copy.deepcopy(server.policy.model.state_dict())
        for seed in (0, 1):
            model = adapted(trained, seed)
            policy.push_weights(model)
            (name,) = server.adapters
            assert policy.model == name
            assert [path.name for path in (tmp_path / "sampler-adapters").iterdir()] == [name]
            expected = TransformersPolicy(model, trained.tokenizer).generate(asked("7*8"), GREEDY)
            (found,) = policy.generate(asked("7*8"), GREEDY)
            assert isinstance(found, Generation)
            assert found.token_ids == expected[0].token_ids
            assert found.logprobs == pytest.approx(expected[0].logprobs, abs=1e-4)
        for key, value in server.policy.model.state_dict().items():
            assert torch.equal(value, before[key])
        assert server.handed == []
        pushes = [r["path"] for r in server.requests if "prompt" not in r]
    load, unload = "/v1/load_lora_adapter", "/v1/unload_lora_adapter"
    forget = "/reset_prefix_cache"
    assert pushes == ["/collective_rpc", load, forget, load, unload, forget]


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
def test_a_server_that_cannot_take_the_adapters_is_named(
    connect: Connect, trained: TransformersPolicy
) -> None:
    with FakeVLLM(make_policy(), adapter_rank=8) as server:
        policy = connect(server)
        with pytest.raises(BadOption, match=r"at most 8, .* got 9. Fix: .* --max-lora-rank 16"):
            policy.push_weights(adapted(trained, rank=9))
        server.script = [refuses(404, "no such route")]
        with pytest.raises(BadOption, match="VLLM_ALLOW_RUNTIME_LORA_UPDATING=True"):
            policy.push_weights(adapted(trained))


def test_a_prefix_cache_that_is_kept_is_an_error(
    connect: Connect, trained: TransformersPolicy, server: FakeVLLM
) -> None:
    policy = connect(server)
    server.script = [says({"results": [None]}), *[says({"success": False})] * 5]
    with pytest.raises(ServerError, match="kept keys and values of earlier weights"):
        policy.push_weights(trained.model)
    server.script = [says({"results": [None]}), says({"success": False})]
    policy.push_weights(trained.model)


def test_weights_that_cannot_be_written_or_read_end_the_run(
    server: FakeVLLM, trained: TransformersPolicy, tmp_path: Path
) -> None:
    policy = VLLMServerPolicy(server.root, trained, tmp_path / "none" / "weights.safetensors")
    with pytest.raises(CannotWrite, match="make room, then resume"):
        policy.push_weights(trained.model)
    (tmp_path / "none").mkdir()
    server.script = [refuses(500, "No such file or directory")]
    with pytest.raises(ServerError, match="No such file"):
        policy.push_weights(trained.model)
    policy.close()


@pytest.mark.parametrize(
    ("reply", "kind", "message"),  # what is refused is not asked for again
    [
        (refuses(503, "busy"), ServerError, "busy"),
        (refuses(400, "logprobs are not supported"), RequestRefused, "logprobs"),
        (says({"choices": [{"text": "4"}]}), BadAnswer, "0 token ids, 0 log-probabilities"),
    ],
)
def test_what_cannot_be_had_is_a_failure_in_its_place(
    server: FakeVLLM, connect: Connect, reply: Reply, kind: type[PolicyFailure], message: str
) -> None:
    policy = connect(server)
    policy.generate(asked("1"), GREEDY)
    server.script = [reply] * (1 if kind is RequestRefused else 2)
    (failed,) = policy.generate(asked("1"), GREEDY)
    assert isinstance(failed, kind)
    assert message in str(failed)
    (found,) = policy.generate(asked("1"), GREEDY)
    assert isinstance(found, Generation)


def test_what_passes_is_asked_for_again(server: FakeVLLM, connect: Connect) -> None:
    policy = connect(server)
    server.script = [hangs_up]
    (found,) = policy.generate(asked("1"), GREEDY)
    assert isinstance(found, Generation)
    assert policy.usage.retries == 1
    server.script = [hangs_up]
    policy.push_weights(server.policy.model)
    assert len(server.handed) == 1


def test_a_server_that_hangs_is_unreachable_and_not_waited_for(
    server: FakeVLLM, trained: TransformersPolicy, tmp_path: Path
) -> None:
    policy = VLLMServerPolicy(server.root, trained, tmp_path / "weights", health_s=0.05)
    assert len(policy.generate(asked("a"), GREEDY)) == 1
    server.script, server.sick = [stalls], True
    with pytest.raises(ServerUnreachable, match="missed 3 checks of its health"):
        policy.generate(asked("a"), GREEDY)
    policy.close()


def test_weights_are_loaded_under_requests_that_run_only_where_they_may_continue(
    server: FakeVLLM, trained: TransformersPolicy, tmp_path: Path
) -> None:
    for continues in (False, True):
        policy = VLLMServerPolicy(server.root, trained, tmp_path / "weights", continues=continues)
        policy.push_weights(trained.model)
        assert server.requests[-1]["path"].endswith("?reset_running_requests=true") == continues
        policy.close()


def test_no_server_is_said_in_a_line(trained: TransformersPolicy, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        with pytest.raises(BadOption, match=r"^policy\.base_url: http.* Is vLLM's server running"):
            VLLMServerPolicy(url, trained, tmp_path / "weights")
    with pytest.raises(BadOption, match="must begin with http"):
        VLLMServerPolicy("localhost:8000", trained, tmp_path / "weights")


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (refuses(404, "Not Found"), "has no /collective_rpc.*VLLM_SERVER_DEV_MODE=1"),
        (refuses(500, "no describe_model"), "--worker-extension-cls srl_agents.*WeightReceiver"),
        (says({"fine": True}), "is no vLLM server"),
        (says(b"<html>"), "not JSON"),
    ],
)
def test_a_server_that_was_started_otherwise_is_refused(
    server: FakeVLLM, connect: Connect, reply: Reply, message: str
) -> None:
    server.script = [reply]
    with pytest.raises((BadOption, BadAnswer), match=message) as refused:
        connect(server)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        (
            {"logprobs_mode": "raw_logprobs"},
            "got 'raw_logprobs'.* --logprobs-mode processed_logprobs",
        ),
        ({"generation_config": "auto"}, "--generation-config vllm"),
        ({"shape": {}}, "model_type of .* must be 'llama', .* got None"),
        (
            {"shape": {**model_shape(make_policy().model.config), "hidden_size": 64}},
            "hidden_size of .* must be 32, .* got 64 of 'served'. Fix: serve model.path",
        ),
    ],
)
def test_a_server_of_another_model_or_other_logprobs_is_refused(
    connect: Connect, facts: dict[str, Any], message: str
) -> None:
    with FakeVLLM(make_policy(), **facts) as server, pytest.raises(BadOption, match=message):
        connect(server)


@pytest.fixture
def tree(tree: dict[str, Any]) -> dict[str, Any]:
    policy = {"sampler": "vllm-server", "rows": 4}
    return merged(tree, {"policy": policy, "train": {"objective": {"max_groups": 1.0}}})


def other_weights(seed: int) -> TransformersPolicy:
    """The model that is trained, before it was given the trained weights."""
    return TransformersPolicy(letters.base(seed=seed), letters.TOKENIZER)


def run(tree: dict[str, Any], server: FakeVLLM, out: Path, updates: int) -> list[dict[str, Any]]:
    """The metrics of each update of a run that is begun or gone on with."""
    place = {"out": str(out), "policy": {"base_url": server.root}}
    config = make_config(merged(tree, {**place, "budget": {"updates": updates}}))
    train(config, resume=out.exists())
    return letters.updates(out)


def test_a_run_samples_with_its_last_weights_and_goes_on_at_another_address(
    tree: dict[str, Any], tmp_path: Path
) -> None:
    with FakeVLLM(other_weights(seed=1), max_model_len=512) as server:
        whole = run(tree, server, tmp_path / "whole", 4)
        assert max(line["sampler_gap"] for line in whole) < 1e-4
        assert all(line["failures"] == 0 for line in whole)
        assert len(server.handed) >= 4
        run(tree, server, tmp_path / "parts", 2)
    with FakeVLLM(other_weights(seed=2), max_model_len=512) as server:
        parts = run(tree, server, tmp_path / "parts", 4)
    for name in ("reward", "tokens"):
        assert [line.get(name) for line in parts] == [line.get(name) for line in whole]


def test_a_start_that_was_refused_leaves_the_folder_to_the_next(
    tree: dict[str, Any], tmp_path: Path
) -> None:
    with FakeVLLM(other_weights(seed=1), max_model_len=512) as server:
        start_after_refusals(tree, server)
    assert (tmp_path / "run/model").is_dir()


def start_after_refusals(tree: dict[str, Any], server: FakeVLLM) -> None:
    tree = merged(tree, {"policy": {"base_url": server.root}, "budget": {"updates": 1}})
    facts = says({"results": [server.facts]})
    for script in ([refuses(404)], [facts, refuses(500, "no such file")]):
        server.script = script
        with pytest.raises((BadOption, ServerError)):
            train(make_config(tree))
    train(make_config(tree))
