"""Runs that sample ahead on several servers: who gets weights, who is lost, and who comes back.

The servers are fakes on loopback; vLLM's own is in ``test_vllm.py``.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from srl_agents.collection.runners import NoWorkersLeft
from srl_agents.policies import TransformersPolicy
from srl_agents.runs.config import make_config
from srl_agents.runs.settings import merged
from srl_agents.training.progress import Progress
from srl_agents.training.run import train
from srl_env.errors import BadOption
from tests.srl_agents import letters
from tests.srl_agents.letters import lines, updates
from tests.srl_agents.policies.servers.vllm_fake import FakeVLLM

pytest.importorskip("openai")


@pytest.fixture
def servers() -> Iterator[list[FakeVLLM]]:
    """Two, with weights that differ from those of the run."""
    with ExitStack() as stack:
        yield [stack.enter_context(fake(seed)) for seed in (1, 2)]


def fake(seed: int, **facts: Any) -> FakeVLLM:
    policy = TransformersPolicy(letters.base(seed=seed), letters.TOKENIZER)
    return FakeVLLM(policy, max_model_len=512, **facts)


@pytest.fixture
def tree(tree: dict[str, Any], servers: list[FakeVLLM]) -> dict[str, Any]:
    policy = {"sampler": "vllm-server", "base_url": [server.root for server in servers]}
    rollout = {"max_staleness": 1, "job_groups": 1}
    return merged(tree, {"policy": policy, "rollout": rollout, "budget": {"updates": 4}})


def run(tree: dict[str, Any], resume: bool = False) -> Path:
    train(make_config(tree), resume=resume)
    return Path(tree["out"])


def test_each_server_samples_with_weights_that_are_not_too_old(
    tree: dict[str, Any], servers: list[FakeVLLM]
) -> None:
    folder = run(tree)
    found = updates(folder)
    assert len(found) == 4
    assert max(line["staleness/max"] for line in found) <= 1
    assert all(line["failures"] == 0 for line in found)
    assert all(line["workers/lost"] == 0 for line in found)
    for server in servers:
        assert len(server.handed) >= 2
        assert server.handed == sorted(server.handed)
    assert len(list(folder.glob("sampler-*"))) == 2
    versions = {
        step["generation"]["version"] for row in lines(folder, "rollouts") for step in row["steps"]
    }
    assert versions <= set(range(4))


@pytest.mark.slow
def test_a_server_that_comes_back_gets_the_weights_again(
    tree: dict[str, Any], servers: list[FakeVLLM]
) -> None:
    one = servers[0]
    tree["policy"]["base_url"] = [one.root]
    answer, gone = one.answer, ["until it is asked again what it serves"]

    def breaks(request: dict[str, Any]) -> Any:
        if len(one.handed) == 2 and request.get("method") == "describe_model":
            gone.clear()
        if len(one.handed) == 2 and gone:
            raise ConnectionResetError
        return answer(request)

    one.answer = breaks
    found = updates(run(tree))
    assert not gone
    assert sum(line["workers/lost"] for line in found) >= 1
    assert sum(line["failures"] for line in found) == 0
    assert one.handed[1] in one.handed[2:]  # the version it had


SERVE = """
import sys, time
from tests.srl_agents.policies.servers.vllm_fake import FakeVLLM
from tests.srl_agents.training.test_ahead_servers import fake
FakeVLLM.port = int(sys.argv[1])
with fake(1):
    print("serves", flush=True)
    time.sleep(600)
"""


def serve(port: int) -> subprocess.Popen[str]:
    """A server in a process of its own, once it answers."""
    command = [sys.executable, "-c", SERVE, str(port)]
    root = Path(__file__).parents[3]
    process = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "serves\n"
    return process


@pytest.mark.slow
def test_a_run_waits_for_a_server_that_is_killed_and_started_again(tree: dict[str, Any]) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    processes = [serve(port)]

    def kill_after_the_second(progress: Progress) -> None:
        if progress.update == 2:
            processes[-1].kill()
            processes[-1].wait()
            threading.Thread(target=lambda: processes.append(serve(port))).start()

    changes = {"policy": {"base_url": [f"http://127.0.0.1:{port}"]}, "budget": {"updates": 5}}
    tree = merged(tree, changes)
    try:
        train(make_config(tree), on_progress=kill_after_the_second)
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    found = updates(Path(tree["out"]))
    assert len(processes) == 2
    assert [line["update"] for line in found] == [1, 2, 3, 4, 5]
    assert sum(line["workers/lost"] for line in found) >= 1
    assert sum(line["failures"] for line in found) == 0


@pytest.mark.slow
def test_the_other_server_goes_on_when_one_is_gone(
    tree: dict[str, Any], servers: list[FakeVLLM]
) -> None:
    one, other = servers
    answer = one.answer

    def dies(request: dict[str, Any]) -> Any:
        if len(one.handed) >= 2:
            raise ConnectionResetError
        return answer(request)

    one.answer = dies
    found = updates(run(tree))
    assert len(found) == 4
    assert sum(line["workers/lost"] for line in found) >= 1
    assert sum(line["failures"] for line in found) == 0
    assert len(other.handed) > len(one.handed)


@pytest.mark.slow
def test_a_server_that_comes_back_with_another_model_is_named_and_the_run_resumes(
    tree: dict[str, Any], servers: list[FakeVLLM]
) -> None:
    one = servers[0]
    tree = merged(tree, {"policy": {"base_url": [one.root]}, "rollout": {"deadline_s": 0.1}})
    tree = merged(tree, {"checkpoint": {"every": 1}})
    answer, facts = one.answer, one.facts

    def swapped(request: dict[str, Any]) -> Any:
        if len(one.handed) >= 2:
            one.facts = {**facts, "shape": {**facts["shape"], "hidden_size": 7}}
            if "prompt" in request:
                raise ConnectionResetError
        return answer(request)

    one.answer = swapped
    with pytest.raises(NoWorkersLeft, match="hidden_size of .* must be 64.* got 7") as error:
        run(tree)
    assert "\n" not in str(error.value)
    one.answer, one.facts = answer, facts
    assert [line["update"] for line in updates(run(tree, resume=True))] == [1, 2, 3, 4]


def test_no_server_and_another_model_are_said_before_the_first_update(
    tree: dict[str, Any], servers: list[FakeVLLM]
) -> None:
    nobody = merged(tree, {"policy": {"base_url": [servers[0].root, "http://127.0.0.1:9"]}})
    with pytest.raises(BadOption, match="127.0.0.1:9 .*Is vLLM's server running"):
        run(nobody)
    with fake(3, logprobs_mode="raw_logprobs") as other:
        wrong = merged(tree, {"policy": {"base_url": [servers[0].root, other.root]}})
        with pytest.raises(BadOption, match="logprobs_mode of .* must be 'processed_logprobs'"):
            run(wrong)
    assert len(updates(run(tree))) == 4


def test_a_server_is_named_once(tree: dict[str, Any], servers: list[FakeVLLM]) -> None:
    twice = [servers[0].root, f"{servers[0].root}/v1/"]
    with pytest.raises(BadOption, match="policy.base_url must name each server once; got http"):
        make_config(merged(tree, {"policy": {"base_url": twice}}))


def test_several_servers_need_a_bound_on_staleness(tree: dict[str, Any]) -> None:
    with pytest.raises(BadOption, match="policy.base_url must be one server where rollout.max"):
        make_config(merged(tree, {"rollout": {"max_staleness": 0}}))


@pytest.mark.slow
def test_episodes_continue_under_new_weights_on_request(
    tree: dict[str, Any], servers: list[FakeVLLM]
) -> None:
    found = updates(run(merged(tree, {"rollout": {"continue_episodes": True}})))
    assert len(found) == 4
    assert max(line["staleness/max"] for line in found) <= 1
    paths = {request["path"] for request in servers[0].requests}
    assert "/reset_prefix_cache?reset_running_requests=true" in paths
