"""Our environments in verifiers, end to end: its runner, its harness, a server on loopback.

The harness ``null`` fetches its few packages with uv the first time: `make test-peers`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("verifiers.v1")

import verifiers.v1 as vf
from verifiers.v1.utils.loaders import load_environment, resolve_env_config

from srl_agents.integrations.taskset import SRLTaskset, SRLTasksetConfig
from srl_env.errors import BadOption
from tests.srl_agents.policies.servers.loopback import Handler, Loopback, Reply, chat, says


class Streaming(Loopback):
    """Answers in one event, as verifiers' harness asks for; errors as they are."""

    def next_reply(self, handler: Handler) -> Reply:
        with self._lock:
            self.requests.append(handler.body)
            answer = self.answer(handler.body)
        return streamed(answer) if "choices" in answer else says(answer, 400)


def streamed(answer: dict[str, Any]) -> Reply:
    """A chat completion as server-sent events."""
    (choice,) = answer["choices"]
    delta = {"index": 0, "delta": choice["message"], "finish_reason": choice["finish_reason"]}
    chunk = {**answer, "object": "chat.completion.chunk", "choices": [delta]}
    payload = f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n".encode()

    def reply(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Content-Length", str(len(payload)))
        handler.end_headers()
        handler.wfile.write(payload)

    return reply


TASKSET = {"id": "srl-agents", "environment": "srl/WordProblem-v0", "problems": 2}


def taskset(**given: Any) -> SRLTaskset:
    return SRLTaskset(SRLTasksetConfig.model_validate({**TASKSET, **given}))


def episodes(answer: Callable[[Any], Any], count: int = 1, **given: Any) -> list[Any]:
    """Episodes of the first tasks, run by verifiers against a server that answers so."""

    async def run(url: str) -> list[Any]:
        config = resolve_env_config({"taskset": {**TASKSET, **given}})
        env = load_environment(config)
        client = vf.EvalClientConfig(base_url=url, api_key_var="NO_KEY")
        ctx = vf.ModelContext(model="m", client=client, sampling=vf.SamplingConfig())
        tasks = list(env.taskset.take(count))
        async with env.serving():
            return list(await asyncio.gather(*(env.run_episode(task, ctx) for task in tasks)))

    with Streaming(answer=answer) as server:
        return asyncio.run(run(server.base_url))


def test_tasks_are_rows_and_tell_nothing_of_the_expert() -> None:
    tasks, rows = list(taskset()), taskset().rows
    assert {task.data.problem for task in tasks} == {0, 1}
    assert [task.data.start_step for task in tasks if task.data.problem == 0][:2] == [0, 1]
    row, env = rows.rows[0], rows.make()
    env.reset(seed=row.seed, options=rows.options(0, 0))
    assert env.expert_steps[0].action not in tasks[0].data.model_dump_json()
    assert tasks[0].data.prompt[0].content == row.messages[-1]["content"]
    assert tasks[0].data.system_prompt == row.messages[0]["content"]


def test_an_environment_must_be_named() -> None:
    with pytest.raises(BadOption, match=r"--env\.taskset\.environment takes an id"):
        SRLTaskset(SRLTasksetConfig(id="srl-agents"))


def test_in_srl_an_episode_is_one_step_with_its_own_reward() -> None:
    rows = taskset().rows
    env = rows.make()
    env.reset(seed=rows.rows[0].seed, options=rows.options(0, 0))
    expert = env.expert_completion()
    (episode,) = episodes(lambda _: chat(expert))
    assert episode.ok, episode.errors
    (trace,) = episode.traces
    assert {name: reward.score for name, reward in trace.rewards.items()} == {"srl": 1.0}
    (episode,) = episodes(lambda _: chat("no tags"))
    assert episode.traces[0].rewards["srl"].score == -1.0
    assert episode.traces[0].metrics == {"format_ok": 0.0}


def test_of_single_steps_the_last_alone_is_right_or_wrong() -> None:
    found = taskset(targets="all").rows
    rows = [row for row in found.rows if row.problem == 0]
    answer = found.make().problems[0].trajectories[0].steps[-1].action
    made = episodes(lambda _: chat(f"<think>hm</think>{answer}"), len(rows), targets="all")
    verdicts = [episode.traces[0].metrics.get("correct") for episode in made]
    assert verdicts == [None] * (len(rows) - 1) + [1.0]


def test_what_the_model_is_shown_is_our_prompt() -> None:
    seen: list[Any] = []

    def answer(request: Any) -> Any:
        seen.append(request["messages"])
        return chat("hm")

    episodes(answer)
    shown = [{"role": m["role"], "content": m["content"]} for m in seen[0]]
    assert shown == [dict(message) for message in taskset().rows.rows[0].messages]


def test_a_rollout_of_several_steps_has_a_trace_for_each_paid_its_total() -> None:
    replies = iter(["<think>a</think>first 1", "<think>b</think>#### 1"])
    given: dict[str, Any] = {"reward_mode": "rlvr", "granularity": "step", "max_steps": 3}
    (episode,) = episodes(lambda _: chat(next(replies)), **given)
    assert episode.ok, episode.errors
    assert len(episode.traces) == 2
    (paid,) = {trace.rewards["srl"].score for trace in episode.traces}
    assert paid == episode.traces[0].metrics["correct"]
    shown = str(episode.traces[1].nodes[-2].message.content)
    assert "first 1" in shown
    assert "<think>" not in shown


def test_whole_solutions_are_one_completion_in_rlvr() -> None:
    (episode,) = episodes(lambda _: chat("<think>a</think>#### 1"), reward_mode="rlvr")
    assert len(episode.traces) == 1
    assert set(episode.traces[0].metrics) == {"correct", "format_ok"}


def test_a_failure_of_ours_is_an_error_and_no_reward(monkeypatch: pytest.MonkeyPatch) -> None:
    from srl_env.errors import WorldFailure
    from srl_tasks.generated.word_problem import WordProblemEnv

    def dies(self: Any, action: str) -> Any:
        raise WorldFailure("the world is gone")

    monkeypatch.setattr(WordProblemEnv, "advance", dies)
    (episode,) = episodes(lambda _: chat("<think>a</think>b"))
    assert not episode.ok
    assert "the world is gone" in str(episode.errors)
    assert [trace.rewards for trace in episode.traces] == [{}]


def test_a_failure_of_the_server_is_verifiers_own_and_no_reward() -> None:
    (episode,) = episodes(lambda _: {"error": {"message": "no"}})
    assert not episode.ok
    assert all(not trace.rewards for trace in episode.traces)
