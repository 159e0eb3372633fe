"""What clients are answered, without a network: OpenEnv's messages, limits, and who may ask."""

from __future__ import annotations

import asyncio
import base64
import json
import math
from collections.abc import Mapping
from typing import Any

import pytest

import srl_env
from srl_agents.serving.access import Access
from srl_agents.serving.episodes import ServedEpisodes
from srl_agents.serving.limits import Limits
from srl_agents.serving.protocol import answer, finite, openapi, schemas
from srl_agents.serving.sessions import Sessions, TooMany
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadOption, SandboxFailure
from srl_env.problem import Problem
from srl_env.rollout import Episode
from srl_env.testing import CountingEnv

TOKEN = "a-token-of-sixteen"


class Served:
    """The episodes of an environment, with what they recorded."""

    def __init__(self, env: Any = None) -> None:
        made: ReasoningEnv = srl_env.make("srl/ToolShop-v0").unwrapped if env is None else env
        self.record: list[Episode] = []
        self.episodes = ServedEpisodes(made, self.record.append)

    def ask(self, kind: str, data: Any = None) -> dict[str, Any]:
        message = {"type": kind} if data is None else {"type": kind, "data": data}
        reply = answer(self.episodes, json.dumps(message))
        assert reply is not None
        assert json.loads(json.dumps(reply, allow_nan=False)) == reply
        return reply

    def error(self, kind: str, data: Any = None) -> tuple[str, str]:
        reply = self.ask(kind, data)
        assert reply["type"] == "error"
        return reply["data"]["code"], reply["data"]["message"]


def call(tool: str, **arguments: Any) -> dict[str, Any]:
    return {"type": "call_tool", "tool_name": tool, "arguments": arguments}


def test_a_reset_gives_the_prompt_and_a_step_the_worlds_answer() -> None:
    served = Served()
    began = served.ask("reset", {"seed": 1, "reward_mode": "rlvr", "episode_id": "mine"})
    observation = began["data"]["observation"]
    assert (began["type"], began["data"]["reward"], began["data"]["done"]) == (
        "observation",
        None,
        False,
    )
    assert "What does it cost in cents?" in observation["text"]
    assert observation["messages"][0]["role"] == "system"
    text = '<tool_call>{"name": "calculate", "arguments": {"expression": "2 + 3"}}</tool_call>'
    stepped = served.ask("step", {"text": text})["data"]
    assert (stepped["observation"]["text"], stepped["reward"], stepped["done"]) == ("5", 0.0, False)
    assert served.ask("state")["data"] == {
        "episode_id": "mine",
        "step_count": 1,
        "problem_id": observation["info"]["problem_id"],
        "reward_mode": "rlvr",
        "done": False,
    }


def test_a_call_of_a_tool_is_a_step_and_listing_tools_is_none() -> None:
    served = Served()
    served.ask("reset", {"seed": 1, "reward_mode": "rlvr"})
    listed = served.ask("step", {"type": "list_tools"})["data"]["observation"]["tools"]
    assert [tool["name"] for tool in listed] == ["lookup", "calculate", "answer"]
    assert listed[1]["input_schema"]["required"] == ["expression"]
    stepped = served.ask("step", call("calculate", expression="2 * 3"))["data"]["observation"]
    assert (stepped["tool_name"], stepped["result"]) == ("calculate", "6")
    assert served.ask("state")["data"]["step_count"] == 1
    ended = served.ask("step", call("answer", value=0))["data"]
    assert (ended["done"], ended["observation"]["info"]["verdict"]["correct"]) == (True, False)
    (episode,) = served.record
    assert (len(episode.steps), episode.correct) == (2, False)


def test_the_experts_steps_are_rewarded_step_by_step_under_srl() -> None:
    served = Served()
    served.ask("reset", {"seed": 1, "reward_mode": "srl"})
    env = served.episodes.env
    rewards = []
    for _ in range(len(env.expert_steps)):
        rewards.append(served.ask("step", {"text": env.expert_completion()})["data"]["reward"])
    assert rewards == [1.0] * len(rewards)
    assert served.ask("state")["data"]["done"]


def test_an_environment_without_tools_has_one_that_takes_a_step() -> None:
    served = Served(srl_env.make("srl/WordProblem-v0", format="lines").unwrapped)
    served.ask("reset", {"seed": 1, "reward_mode": "rlvr"})
    (tool,) = served.ask("step", {"type": "list_tools"})["data"]["observation"]["tools"]
    assert tool["name"] == "take_step"
    stepped = served.ask("step", call("take_step", text="#### 0"))["data"]
    assert (stepped["done"], stepped["observation"]["info"]["action"]) == (True, "#### 0")
    assert served.error("step", call("take_step", text=3))[0] == "VALIDATION_ERROR"


@pytest.mark.parametrize(
    ("message", "code", "said"),
    [
        ("{", "INVALID_JSON", "a message must be JSON"),
        ("[" * 100_000, "INVALID_JSON", "a message must be JSON"),
        ("1" * 10_000, "INVALID_JSON", "a message must be JSON"),
        ("[]", "UNKNOWN_TYPE", "type must be reset, step, state or close; got None"),
        ('{"type": "\\u001b[31m"}', "UNKNOWN_TYPE", r"got '\x1b[31m'"),
        ('{"type": ["reset"]}', "UNKNOWN_TYPE", "got ['reset']"),
        ('{"type": "reset", "data": 3}', "VALIDATION_ERROR", "data must be a JSON object"),
        ('{"type": "reset", "data": {"sead": 1}}', "VALIDATION_ERROR", "got 'sead'"),
        ('{"type": "reset", "data": {"seed": NaN}}', "VALIDATION_ERROR", "seed must be"),
        ('{"type": "reset", "data": {"seed": -1}}', "VALIDATION_ERROR", "seed must be"),
        ('{"type": "reset", "data": {"episode_id": 3}}', "VALIDATION_ERROR", "episode_id must be"),
        ('{"type": "reset", "data": {"problem": "none"}}', "VALIDATION_ERROR", "no problem 'none'"),
        ('{"type": "reset", "data": {"reward_mode": {}}}', "VALIDATION_ERROR", "reward_mode must"),
        ('{"type": "step", "data": {}}', "VALIDATION_ERROR", "an action must be {'text': '…'}"),
        ('{"type": "step", "data": {"text": "x"}}', "EXECUTION_ERROR", "call reset() first"),
    ],
)
def test_a_wrong_message_is_answered_by_what_is_wrong(message: str, code: str, said: str) -> None:
    reply = answer(Served().episodes, message)
    assert reply is not None
    assert reply["type"] == "error"
    assert reply["data"]["code"] == code
    assert said in reply["data"]["message"]


def test_a_client_names_no_code_and_lengthens_no_episode() -> None:
    served = Served()
    code, said = served.error("reset", {"measure": "os:system"})
    assert (code, said) == (
        "VALIDATION_ERROR",
        "measure must be a name that is known here; got 'os:system'",
    )
    assert (
        served.error("reset", {"max_steps": 10**9})[1]
        == "max_steps must be at most 24; got 1000000000"
    )
    assert (
        served.error("reset", {"problem": "x" * 10**6})[1]
        == "problem must have at most 1000 characters"
    )
    assert served.ask("reset", {"max_steps": 2, "measure": "characters"})["type"] == "observation"


def test_a_tool_that_does_not_exist_takes_no_step() -> None:
    served = Served()
    served.ask("reset", {"reward_mode": "rlvr"})
    assert "no tool 'rm'" in served.error("step", call("rm"))[1]
    assert served.error("step", {"type": "call_tool", "tool_name": 3})[0] == "VALIDATION_ERROR"
    assert served.ask("state")["data"]["step_count"] == 0


class Broken(CountingEnv):
    """A world that cannot be set up, or fails at a step that nobody is responsible for."""

    def world_reset(self, problem: Problem) -> None:
        raise SandboxFailure("no sandbox \x1b[31m")


def test_a_world_that_cannot_be_set_up_is_a_failure_and_no_reward() -> None:
    served = Served(Broken())
    began = served.ask("reset", {"reward_mode": "rlvr"})["data"]
    assert (began["done"], began["reward"]) == (True, None)
    assert began["observation"]["failure"]["type"] == "SandboxFailure"
    assert served.error("step", {"text": "1"}) == (
        "EXECUTION_ERROR",
        "the episode has ended: call reset() before step()",
    )
    assert [episode.failure and episode.failure["type"] for episode in served.record] == [
        "SandboxFailure"
    ]


def test_an_episode_that_its_client_leaves_is_recorded_without_a_verdict() -> None:
    served = Served()
    for _ in range(2):
        served.ask("reset", {"reward_mode": "rlvr"})
    assert served.record == []
    served.ask("step", call("calculate", expression="1"))
    served.ask("reset", {"reward_mode": "rlvr"})
    served.ask("step", call("calculate", expression="1"))
    served.episodes.close()
    assert [(len(e.steps), e.correct) for e in served.record] == [(1, None), (1, None)]


def test_numbers_that_json_does_not_have_become_null() -> None:
    assert finite({"a": [math.nan, (math.inf, 1.5)], 2: True}) == {
        "a": [None, [None, 1.5]],
        "2": True,
    }


def test_schemas_and_paths_are_those_of_openenv() -> None:
    served = Served()
    found = schemas(served.episodes.env.format)
    assert found["action"]["required"] == ["text"]
    assert found["action"]["properties"]["text"]["x-stop"] == ["</tool_call>"]
    assert openapi("x", {"/reset": "post"})["info"]["version"] == "1.0.0"


# -- sessions --------------------------------------------------------------------------------------


def test_there_are_as_many_sessions_as_allowed_and_a_closed_one_frees_its_place() -> None:
    async def run() -> None:
        sessions = Sessions(lambda: Served().episodes, Limits(max_sessions=2))
        first, _ = await sessions.open(), await sessions.open()
        with pytest.raises(TooMany, match="all 2 sessions are in use"):
            await sessions.open()
        await sessions.close(first)
        await sessions.open()
        assert await sessions.stop() == 0
        with pytest.raises(TooMany, match="the server is being stopped"):
            await sessions.open()
        assert sessions.opened == 3

    asyncio.run(run())


def test_an_environment_that_cannot_be_made_takes_no_place() -> None:
    def make() -> ServedEpisodes:
        raise BadOption("no")

    async def run() -> None:
        sessions = Sessions(make, Limits(max_sessions=1))
        for _ in range(2):
            with pytest.raises(BadOption, match="^no$"):
                await sessions.open()
        assert await sessions.stop() == 0

    asyncio.run(run())


def test_stopping_waits_for_a_call_in_progress_and_closes_environments() -> None:
    closed = []

    class Closing(CountingEnv):
        def close(self) -> None:
            closed.append("closed")

    async def run() -> None:
        import threading

        sessions = Sessions(lambda: Served(Closing()).episodes, Limits())
        session, go = await sessions.open(), threading.Event()
        call = asyncio.create_task(session.call(go.wait))
        await asyncio.sleep(0)
        stopping = asyncio.create_task(sessions.stop())
        await asyncio.sleep(0.05)
        assert not stopping.done()
        go.set()
        assert await call is True
        assert await stopping == 0

    asyncio.run(run())
    assert closed == ["closed"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"max_sessions": 0}, "max_sessions must be a whole number, at least 1; got 0"),
        ({"request_bytes": 1.5}, "request_bytes must be a whole number, at least 1; got 1.5"),
        ({"idle_s": -1}, "idle_s must be seconds, above 0"),
    ],
)
def test_limits_that_cannot_work_are_errors(given: Mapping[str, Any], said: str) -> None:
    with pytest.raises(BadOption, match=said):
        Limits(**given)


# -- access ----------------------------------------------------------------------------------------


def asked(
    token: str | None,
    *,
    path: str = "/schema",
    headers: Mapping[str, str] = {"host": "127.0.0.1:8000"},
    body: tuple[bytes, ...] = (b"",),
    kind: str = "http",
    limits: Limits = Limits(request_bytes=10),  # noqa: B008
) -> tuple[int, bytes]:
    """The status of the answer to a request, and its body; (0, …) where it took too long."""
    sent: list[Any] = []
    parts = list(body)

    async def application(scope: Any, receive: Any, send: Any) -> None:
        read = (await receive())["body"] if kind == "http" else b""
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": read})

    async def receive() -> Any:
        if not parts:
            await asyncio.Event().wait()
        part = parts.pop(0)
        return {"type": "http.request", "body": part, "more_body": part.endswith(b"+")}

    async def send(message: Any) -> None:
        sent.append(message)

    named = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {
        "type": kind,
        "path": path,
        "headers": named,
        "extensions": {"websocket.http.response": {}},
    }
    asyncio.run(Access(application, limits, token)(scope, receive, send))
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent)


def bearer(token: str) -> dict[str, str]:
    return {"host": "example.org", "authorization": f"Bearer {token}"}


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_with_a_token_nobody_is_served_without_it(kind: str) -> None:
    basic = base64.b64encode(f"any:{TOKEN}".encode()).decode()
    assert asked(TOKEN, kind=kind, headers=bearer(TOKEN))[0] == 200
    assert asked(TOKEN, kind=kind, headers={"authorization": f"Basic {basic}"})[0] == 200
    for wrong in ("Bearer", "Bearer a", f"Token {TOKEN}", "Basic !", "Basic /w==", "", "Bearer é"):
        status, said = asked(TOKEN, kind=kind, headers={"authorization": wrong})
        assert (status, said.count(b"\n")) == (401, 0)
        assert TOKEN.encode() not in said
    assert asked(TOKEN, path="/health", headers={})[0] == 200


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_without_a_token_no_web_page_is_served(kind: str) -> None:
    for host in ("127.0.0.1:8000", "localhost", "[::1]:8000"):
        assert asked(None, kind=kind, headers={"host": host})[0] == 200
    for headers in (
        {"host": "rebound.example:8000"},
        {},
        {"host": "127.0.0.1", "origin": "https://page.example"},
        {"host": "127.0.0.1", "origin": "null"},
    ):
        assert asked(None, kind=kind, headers=headers)[0] == 403
    mine = {"host": "127.0.0.1", "origin": "http://localhost:3000"}
    assert asked(None, kind=kind, headers=mine)[0] == 200


def test_a_body_is_read_up_to_its_limit_and_in_time() -> None:
    assert asked(None, body=(b"12345+", b"6789")) == (200, b"12345+6789")
    assert asked(None, body=(b"12345+", b"67890"))[0] == 413
    slow = Limits(request_s=0.05)
    assert asked(None, body=(b"never ends+",), limits=slow)[0] == 408
