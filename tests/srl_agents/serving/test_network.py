"""A served environment over loopback, with the real clients: openenv-core and mcp.

`make test-peers` runs these.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("openenv.core")
pytest.importorskip("mcp")

from mcp import Client
from openenv.cli._validation import validate_running_environment
from openenv.core.env_server.http_server import create_fastapi_app
from openenv.core.env_server.interfaces import Environment
from openenv.core.env_server.mcp_types import CallToolAction
from openenv.core.env_server.types import Action, Observation, State
from openenv.core.generic_client import GenericEnvClient
from openenv.core.mcp_client import MCPToolClient
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

import srl_env
from srl_env import EnvPool, Generation, Start
from srl_env.errors import BadOption
from srl_env.rollout import Episode, rollout

SHOP = "srl/ToolShop-v0"
TOKEN = "a-token-of-sixteen"
RED = "\x1b[31mred\x07"


class Server:
    """A process of ``srl-env serve``, and what it printed."""

    def __init__(self, *arguments: str, token: str = "") -> None:
        command = [sys.executable, "-m", "srl_agents", "serve", *arguments, "--port", "0"]
        self.process = subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, env={**os.environ, "SRL_ENV_TOKEN": token}
        )
        assert self.process.stderr is not None
        self.printed = [self.process.stderr.readline()]
        found = re.search(r"http://(\S+:(\d+))", self.printed[0])
        assert found is not None, self.printed[0] + self.process.stderr.read()
        self.address, self.port = found[1].replace("0.0.0.0", "127.0.0.1"), int(found[2])
        self.url = f"http://{self.address}"

    def stop(self, sig: int = signal.SIGTERM) -> tuple[int, str]:
        """The exit code, and everything that was printed."""
        assert self.process.stderr is not None
        if not self.process.stderr.closed:
            self.process.send_signal(sig)
            self.printed += self.process.stderr.readlines()
            self.process.wait(30)
            self.process.stderr.close()
        return self.process.returncode, "".join(self.printed)

    def get(self, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any]:
        """The status and the JSON of an answer over HTTP."""
        request = urllib.request.Request(self.url + path, data=body, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                said = error.read()
                return error.code, json.loads(said) if said.startswith(b"{") else said


@contextmanager
def serving(*arguments: str, token: str = "") -> Iterator[Server]:
    server = Server(*arguments, token=token)
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def shop() -> Iterator[Server]:
    with serving(SHOP) as server:
        yield server


def played(client: Callable[[], Any], script: Callable[[Any], Any]) -> Any:
    """What an asynchronous script returns with a client."""

    async def run() -> Any:
        async with client() as connected:
            return await script(connected)

    return asyncio.run(run())


# -- OpenEnv ---------------------------------------------------------------------------------------


def test_openenvs_own_validation_passes(shop: Server) -> None:
    report = validate_running_environment(shop.url)
    assert [c["id"] for c in report["criteria"] if not c["passed"]] == []
    assert (report["passed"], report["mode"]) == (True, "simulation")
    assert report["standard_profile"] == "openenv-http/1.x"


def test_openenvs_client_solves_a_problem_step_by_step(shop: Server) -> None:
    env = srl_env.make(SHOP).unwrapped
    env.reset(seed=7)
    solution = [env.format.render(step) for step in env.expert_steps]

    async def script(client: Any) -> list[Any]:
        began = await client.reset(seed=7, reward_mode="srl", episode_id="one")
        assert env.problem.prompt in began.observation["text"]
        results = [await client.step({"text": text}) for text in solution]
        state = await client.state()
        assert (state["episode_id"], state["step_count"]) == ("one", len(solution))
        return results

    results = played(lambda: GenericEnvClient(shop.url), script)
    assert [result.reward for result in results] == [1.0] * len(solution)
    assert [result.done for result in results] == [False] * (len(solution) - 1) + [True]


def test_openenvs_client_of_tools_calls_them(shop: Server) -> None:
    async def script(client: Any) -> Any:
        await client.reset(seed=1, reward_mode="rlvr")
        tools = await client.list_tools()
        assert [tool.name for tool in tools] == ["lookup", "calculate", "answer"]
        return await client.step(
            CallToolAction(tool_name="calculate", arguments={"expression": "6*7"})
        )

    result = played(lambda: MCPToolClient(shop.url), script)
    assert (result.observation.result, result.reward, result.done) == ("42", 0.0, False)


def test_a_wrong_message_is_one_line_and_the_session_goes_on(shop: Server) -> None:
    async def script(client: Any) -> None:
        with pytest.raises(RuntimeError, match=r"a reset takes seed, .* got 'sead' \(code: VALID"):
            await client.reset(sead=1)
        with pytest.raises(RuntimeError, match=r"call reset\(\) first \(code: EXECUTION_ERROR\)"):
            await client.step({"text": "x"})
        assert (await client.reset(seed=1)).done is False

    played(lambda: GenericEnvClient(shop.url), script)


def test_plain_http_resets_and_says_that_steps_need_a_session(shop: Server) -> None:
    status, answer = shop.get("/reset", b'{"seed": 1}')
    assert (status, answer["done"]) == (200, False)
    assert "What does it cost" in answer["observation"]["text"]
    assert shop.get("/reset", b'{"sead": 1}')[0] == 422
    assert shop.get("/reset", b"[")[0] == 422
    assert shop.get("/step", b"{}")[0] == 409
    assert shop.get("/metadata")[1]["name"] == SHOP


# -- MCP -------------------------------------------------------------------------------------------


def test_an_agent_solves_an_episode_over_mcp_and_is_graded(shop: Server) -> None:
    env = srl_env.make(SHOP).unwrapped

    async def script(client: Any) -> Any:
        tools = (await client.list_tools()).tools
        assert [tool.name for tool in tools] == ["start_episode", "lookup", "calculate", "answer"]
        early = await client.call_tool("calculate", {"expression": "1"})
        assert early.is_error
        began = await client.call_tool("start_episode", {"seed": 5})
        env.reset(seed=5)
        assert env.problem.prompt in began.content[0].text
        for step in env.expert_steps:
            read = env.format.call_of(step.action)  # type: ignore[attr-defined]
            last = await client.call_tool(read[0], read[1])
        assert (await client.call_tool("answer", {"value": 1})).is_error
        return last

    last = played(lambda: Client(f"{shop.url}/mcp"), script)
    assert last.structured_content == {
        "reward": 1.0,
        "done": True,
        "correct": True,
        "failure": None,
    }
    assert last.content[0].text.endswith("The episode has ended: correct.")


def test_wrong_calls_over_mcp_are_told_and_take_no_step(shop: Server) -> None:
    async def script(client: Any) -> list[str]:
        told = []
        for name, arguments in (
            ("start_episode", {"problem": "none"}),
            ("start_episode", {"hint": 1}),
            ("rm", {}),
        ):
            answer = await client.call_tool(name, arguments)
            assert answer.is_error
            told.append(answer.content[0].text)
        return told

    problem, hint, tool = played(lambda: Client(f"{shop.url}/mcp"), script)
    assert "no problem 'none'" in problem
    assert hint == "start_episode takes problem and seed; got 'hint'"
    assert "no tool 'rm'" in tool


def test_another_version_of_mcp_is_refused_in_one_line(shop: Server) -> None:
    body = b'{"jsonrpc": "2.0", "id": 1, "method": "tools/list"}'
    status, answer = shop.get(
        "/mcp", body, **{"MCP-Protocol-Version": "1999-01-01", "Content-Type": "application/json"}
    )
    assert status == 400
    assert answer["error"]["message"].endswith("2025-11-25; got '1999-01-01'")
    assert "2025-11-25" in answer["error"]["data"]["supported"]


def test_a_bug_in_swe_is_fixed_over_mcp_and_graded_outside(tmp_path: Path) -> None:
    """In production mode: an agent can neither choose its reward nor ask for a hint."""
    env = srl_env.make("srl/SWE-v0").unwrapped
    env.reset(seed=1)
    log = tmp_path / "episodes.jsonl"

    async def script(client: Any) -> Any:
        await client.call_tool("start_episode", {"problem": env.problem.id})
        for step in env.expert_steps:
            name, arguments = env.format.call_of(step.action)  # type: ignore[attr-defined]
            last = await client.call_tool(name, dict(arguments))
        return last

    with serving("srl/SWE-v0", "--mode", "production", "--log", str(log)) as server:
        assert server.get("/openapi.json")[1]["paths"].keys() == {
            "/health", "/metadata", "/schema", "/mcp",
        }  # fmt: skip
        with pytest.raises(InvalidStatus), connect(f"ws://{server.address}/ws"):
            pass
        last = played(lambda: Client(f"{server.url}/mcp"), script)
    assert last.structured_content["correct"] is True
    (row,) = map(json.loads, log.read_text().splitlines())
    assert Episode.from_json(row).correct is True


# -- who may, and how much -------------------------------------------------------------------------


def test_beyond_loopback_a_token_is_needed_by_the_server_and_by_clients() -> None:
    for token in ("", "short"):
        command = [sys.executable, "-m", "srl_agents", "serve", SHOP, "--host", "0.0.0.0"]
        done = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, "SRL_ENV_TOKEN": token}
        )
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert done.stderr.startswith("error: a token must be")
    with serving(SHOP, "--host", "0.0.0.0", token=TOKEN) as server:
        assert TOKEN not in server.printed[0]
        assert server.get("/health") == (200, {"status": "healthy"})
        for path in ("/schema", "/mcp", "/openapi.json"):
            assert server.get(path, Authorization="Bearer wrong")[0] == 401
        with pytest.raises(InvalidStatus, match="401"), connect(f"ws://{server.address}/ws"):
            pass
        authority = f":{TOKEN}@{server.address}"  # what openenv-core 0.3 can send
        began = played(lambda: GenericEnvClient(f"ws://{authority}"), lambda c: c.reset(seed=1))
        assert began.done is False
        with pytest.raises(BadOption, match="needs a token, and got none"):
            srl_env.make(f"openenv:{server.url}")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("WRONG", "not the token")
            patch.setenv("RIGHT", TOKEN)
            with pytest.raises(BadOption, match="needs a token, and got another"):
                srl_env.make(f"openenv:{server.url}", token_env="WRONG")
            env = srl_env.make(f"openenv:{server.url}", token_env="RIGHT")
            assert env.reset(seed=1)[0]
            env.close()


def test_a_port_in_use_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "srl_agents", "serve", SHOP, "--port", str(port)]
        done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == (
        f"error: cannot listen on 127.0.0.1:{port} (Address already in use); the port must be free."
        f" Fix: --port {port + 1}\n"
    )


def test_more_sessions_than_allowed_are_refused_and_a_place_is_freed() -> None:
    with serving(SHOP, "--max-sessions", "2") as server:
        url = f"ws://{server.address}/ws"
        with connect(url) as first, connect(url) as second:
            for each in (first, second):
                each.send('{"type": "state"}')
                each.recv(timeout=20)
            with connect(url) as third:
                assert json.loads(third.recv(timeout=20))["data"]["code"] == "CAPACITY_REACHED"
                with pytest.raises(ConnectionClosed):
                    third.recv(timeout=20)
            assert server.get("/reset", b"{}")[0] == 503
            first.close()
            assert _eventually(lambda: server.get("/reset", b"{}")[0] == 200)


def _eventually(holds: Callable[[], bool], within_s: float = 20.0) -> bool:
    end = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def test_frames_that_are_too_large_malformed_or_binary_harm_nobody() -> None:
    with serving(SHOP, "--request-bytes", "5000") as server:
        with connect(f"ws://{server.address}/ws") as client:
            for text in ("{", "\x00", '{"type": "\x1b]0;title\x07"}', "[" * 4000, RED):
                client.send(text)
                assert json.loads(client.recv(timeout=20))["type"] == "error"
            client.send(b"\xff\xfe")
            assert json.loads(client.recv(timeout=20))["data"]["code"] == "INVALID_JSON"
            client.send('{"type": "reset", "data": {"seed": 1, "reward_mode": "rlvr"}}')
            client.recv(timeout=20)
            client.send(json.dumps({"type": "step", "data": {"text": RED}}))
            answer = client.recv(timeout=20)
            assert isinstance(answer, str)
            assert "\x1b" not in answer
            client.send("x" * 5001)
            with pytest.raises(ConnectionClosed) as closed:
                client.recv(timeout=20)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1009
        assert server.get("/reset", b"x" * 5001)[0] == 413
        assert server.get("/mcp", b"x" * 5001)[0] == 413
        assert server.get(f"/{RED.encode().hex()}%1b%5b31m")[0] == 404
        code, printed = server.stop()
    assert code == 0
    assert "\x1b" not in printed
    assert "\x07" not in printed
    assert len(printed.splitlines()) == 2


def test_slow_clients_are_cut_off_and_idle_sessions_end() -> None:
    with serving(SHOP, "--request-s", "5", "--idle-s", "2") as server:
        slow = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(3)]
        slow[0].sendall(b"GET / HTTP/1.1\r\nHost: 127")  # never finished
        slow[2].sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET / HTTP/1.1\r\n")
        slow[1].sendall(b"POST /reset HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{")
        with connect(f"ws://{server.address}/ws") as idle:
            with pytest.raises(ConnectionClosed) as closed:
                idle.recv(timeout=20)
            assert closed.value.rcvd is not None
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (
                1001,
                "the session has used up its time",
            )
        for each in slow:
            each.settimeout(60)
            while each.recv(1000):
                pass
            each.close()
        assert server.get("/health")[0] == 200


# -- the end ---------------------------------------------------------------------------------------

SLEEPER = '''
import time
from srl_env import ReasoningEnv, Problem
from srl_env.data import ListSource
from srl_env.verifiers import NumericVerifier

class Sleeper(ReasoningEnv):
    """Sleeps, or breaks."""

    def __init__(self, **options):
        super().__init__(ListSource([Problem("a", "?", "1")], "s"), NumericVerifier(), **options)

    def world_step(self, action):
        if action == "bug":
            raise ZeroDivisionError("\\x1b[31m" + action)
        time.sleep(float(action))
        return "slept"

    def close(self):
        open(CLOSED, "a").write("closed\\n")
'''


@pytest.fixture
def sleeper(tmp_path: Path) -> tuple[str, Path]:
    """An environment that sleeps, and the file in which it notes that it was closed."""
    closed = tmp_path / "closed.txt"
    file = tmp_path / "sleeper.py"
    file.write_text(f"CLOSED = {str(closed)!r}\n{SLEEPER}")
    return str(file), closed


def test_a_signal_lets_the_step_in_progress_finish_and_closes_all(
    sleeper: tuple[str, Path],
) -> None:
    file, closed = sleeper
    with serving(file, "--kwargs", '{"reward_mode": "rlvr", "format": "lines"}') as server:
        with (
            connect(f"ws://{server.address}/ws") as client,
            connect(f"ws://{server.address}/ws") as idle,
        ):
            client.send('{"type": "reset"}')
            client.recv(timeout=20)
            client.send('{"type": "step", "data": {"text": "1.5"}}')
            time.sleep(0.5)
            stopping = threading.Thread(target=server.stop)
            stopping.start()
            answer = json.loads(client.recv(timeout=20))
            assert answer["data"]["observation"]["text"] == "slept"
            for each in (client, idle):
                with pytest.raises(ConnectionClosed) as ended:
                    each.recv(timeout=20)
                assert ended.value.rcvd is not None
                assert ended.value.rcvd.code == 1012
        stopping.join()
        code, printed = server.process.returncode, "".join(server.printed)
    assert code == 0
    assert printed.endswith("Stopped after 2 sessions and 1 episodes.\n")
    assert closed.read_text() == "closed\n" * 3  # two sessions, and the one that was described


def test_a_step_that_never_ends_does_not_keep_the_server(sleeper: tuple[str, Path]) -> None:
    kwargs = '{"reward_mode": "rlvr", "format": "lines", "world_timeout_s": null}'
    server = Server(sleeper[0], "--kwargs", kwargs, "--stop-s", "1", "--request-s", "1")
    with connect(f"ws://{server.address}/ws") as client:
        client.send('{"type": "reset"}')
        client.recv(timeout=20)
        client.send('{"type": "step", "data": {"text": "600"}}')
        time.sleep(0.3)
        code, printed = server.stop()
    assert code == 1
    assert printed.endswith("1 environments did not stop in time\n")


def test_a_bug_of_an_environment_is_reported_and_ends_no_other_session(
    sleeper: tuple[str, Path],
) -> None:
    with serving(sleeper[0], "--kwargs", '{"reward_mode": "rlvr", "format": "lines"}') as server:
        with connect(f"ws://{server.address}/ws") as client:
            client.send('{"type": "reset"}')
            client.recv(timeout=20)
            client.send('{"type": "step", "data": {"text": "bug"}}')
            answer = json.loads(client.recv(timeout=20))
            assert answer["data"]["message"] == "the environment raised ZeroDivisionError"
            client.send('{"type": "reset"}')
            assert json.loads(client.recv(timeout=20))["type"] == "observation"
        _, printed = server.stop()
    assert r"an environment raised ZeroDivisionError: \x1b[31mbug" in printed
    assert "\x1b" not in printed


# -- a server as an environment --------------------------------------------------------------------


class Write:
    """A policy that writes the same each time."""

    def __init__(self, text: str) -> None:
        self.text = text

    def generate(self, batch: Any, sampling: Any) -> list[Generation]:
        return [Generation(self.text) for _ in batch]


def remote(server: Server, **arguments: Any) -> Callable[[], Any]:
    options = {"reset_options": {"reward_mode": "rlvr"}, "timeout_s": 20, **arguments}
    return lambda: srl_env.make(f"openenv:{server.url}", **options)


def test_our_server_is_an_environment_with_its_prompts_rewards_and_verdict(shop: Server) -> None:
    env = remote(shop, reset_options={"reward_mode": "srl"})().unwrapped
    observation, info = env.reset(seed=2)
    here = srl_env.make(SHOP).unwrapped
    assert here.reset(seed=env.problem.metadata["seed"])[0] == observation
    assert env.format.stop == here.format.stop
    rewards = []
    while (action := here.expert_action) is not None:
        text = here.expert_completion() if len(rewards) != 1 else "no call"
        observation, reward, terminated, truncated, info = env.step(text)
        expected = here.step(text)
        assert (observation, reward) == (expected[0], expected[1])
        assert info["messages"] == expected[4]["messages"]
        rewards.append(reward)
        assert action
    assert rewards[:2] == [1.0, -1.0]
    assert (terminated, truncated) == (True, False)
    env.close()


def test_our_checks_pass_for_a_remote_environment(shop: Server) -> None:
    env = remote(shop)()
    srl_env.check_env(env, problems=1, hostile=20, seconds=10)
    env.close()


def test_a_server_that_goes_down_is_a_typed_failure_and_masked() -> None:
    server = Server(SHOP)
    make = remote(server)
    env = make().unwrapped
    env.reset(seed=1)
    server.stop()
    _, reward, terminated, truncated, info = env.step("x")
    assert reward != reward  # NaN
    assert (terminated, truncated) == (False, True)
    assert info["failure"]["type"] == "WorldUnreachable"
    episodes = rollout(EnvPool(make), Write("x"), [Start(seed=1), Start(seed=2)])
    assert [e.failure and e.failure["type"] for e in episodes] == ["WorldUnreachable"] * 2
    assert all(episode.total_reward != episode.total_reward for episode in episodes)
    with pytest.raises(BadOption, match=r"must be a running OpenEnv server; got no answer \(Conn"):
        srl_env.make(f"openenv:{server.url}", timeout_s=2.5)


def test_a_broken_connection_is_mended_by_repeating_the_episode(shop: Server) -> None:
    env = remote(shop)().unwrapped
    env.reset(seed=1)
    call = '<tool_call>{"name": "calculate", "arguments": {"expression": "2 + 3"}}</tool_call>'
    env.step(call)
    env._connection._socket.socket.shutdown(socket.SHUT_RDWR)
    _, reward, _, truncated, info = env.step(call)
    assert (reward, truncated, "failure" in info) == (0.0, False, False)
    assert [turn.observation for turn in env.history] == ["5", "5"]
    env.close()


def test_what_a_server_reports_as_a_failure_stays_one(tmp_path: Path) -> None:
    file = tmp_path / "broken.py"
    file.write_text(
        SLEEPER.replace("time.sleep(float(action))", "raise SandboxFailure('gone')")
        + "\nfrom srl_env.errors import SandboxFailure\nCLOSED = '/dev/null'\n"
    )
    with serving(str(file), "--kwargs", '{"format": "lines"}') as server:
        env = remote(server)().unwrapped
        env.reset(seed=1)
        info = env.step("1")[4]
        assert info["failure"] == {"type": "ReportedFailure", "message": "SandboxFailure: gone"}
        env.close()


class Guess(Action):
    number: str


class Hint(Observation):
    hint: str


class Guessing(Environment[Guess, Hint, State]):
    """An environment of somebody else's, on OpenEnv's own server."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self) -> None:
        super().__init__()
        self.number = self.steps = 0

    def reset(self, seed: int | None = None, episode_id: str | None = None, **_: Any) -> Hint:
        self.number, self.steps = (seed or 0) % 100, 0
        return Hint(hint=f"Guess a number below {100}.")

    def step(self, action: Guess, timeout_s: float | None = None, **_: Any) -> Hint:
        if action.number == "crash":
            raise KeyError(action.number)
        self.steps += 1
        guess = int(action.number) if action.number.isdecimal() else -1
        if guess == self.number:
            return Hint(hint="right", reward=1.0, done=True)
        return Hint(hint="higher" if guess < self.number else "lower", reward=0.1, done=False)

    @property
    def state(self) -> State:
        return State(step_count=self.steps)


@pytest.fixture(scope="module")
def guessing() -> Iterator[str]:
    import uvicorn

    app = create_fastapi_app(Guessing, Guess, Hint, max_concurrent_envs=8)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", ws="websockets-sansio"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://127.0.0.1:{port}"
        server.should_exit = True
        thread.join()


def test_an_environment_on_openenvs_own_server_is_one_of_ours(guessing: str) -> None:
    env = srl_env.make(f"openenv:{guessing}", format="think-optional").unwrapped
    observation, _ = env.reset(seed=1)
    assert observation.endswith("Guess a number below 100.")
    number = env.problem.metadata["seed"] % 100
    observation, reward, terminated, _, info = env.step(f"<think>hm</think>{(number + 1) % 100}")
    assert (reward, terminated) == (0.1, False)
    assert observation.endswith(("higher", "lower"))
    _, reward, terminated, _, info = env.step(str(number))
    assert (reward, terminated, info["verdict"]["correct"]) == (1.0, True, True)
    assert info["verdict"]["score"] == pytest.approx(1.1)
    env.close()


def test_an_action_that_only_the_policy_can_have_broken_is_wrong_and_not_masked(
    guessing: str,
) -> None:
    env = srl_env.make(f"openenv:{guessing}", format="think-optional").unwrapped
    env.reset(seed=1)
    _, reward, terminated, _, info = env.step("crash")
    assert (reward, terminated) == (0.0, True)
    assert info["verdict"]["policy_fault"].startswith("Refused: ")
    env.close()


# -- the page --------------------------------------------------------------------------------------


def test_the_page_of_documentation_runs(shop: Server, capsys: pytest.CaptureFixture[str]) -> None:
    page = Path(__file__).parents[3] / "docs" / "serving.md"
    blocks = re.findall(r"^```py\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    for block in blocks:
        exec(compile(block.replace("http://localhost:8000", shop.url), str(page), "exec"), {})
    printed = capsys.readouterr().out
    assert printed.startswith("-1.0\n['start_episode', 'lookup', 'calculate', 'answer']\n")
    assert "The episode has ended: not correct." in printed
    assert len(blocks) == 2
