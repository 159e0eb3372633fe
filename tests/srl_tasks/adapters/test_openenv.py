"""Servers of OpenEnv as environments, with scripted answers; real servers: make test-peers."""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest

import srl_env
from srl_env import EnvPool, Generation, Start
from srl_env.errors import BadOption, WorldTimeout
from srl_env.rollout import rollout
from srl_tasks.adapters.openenv import connection, env
from srl_tasks.adapters.openenv.connection import Refused, Server, WorldUnreachable, describe
from srl_tasks.adapters.openenv.env import AsWritten, OpenEnvEnv

URL = "http://localhost:1"
TEXT = {"properties": {"number": {"type": "string"}, "metadata": {"type": "object"}}}


class Guess:
    """A server's session: guess the seed's last digit; ``down`` as long as there is no server."""

    down = False

    def __init__(self, server: Server) -> None:
        self.number = 0
        self.asked: list[tuple[str, Mapping[str, Any]]] = []

    def ask(self, kind: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
        self.asked.append((kind, data))
        if Guess.down:
            raise WorldUnreachable("down")
        if kind == "reset":
            self.number = data["seed"] % 10
            return {"observation": {"hint": "a digit"}, "reward": None, "done": False}
        guess = data["number"]
        if guess == "refused":
            raise Refused("no number (EXECUTION_ERROR)")
        if guess == "slow":
            raise WorldTimeout("slow")
        if guess == "failing":
            failure = {"type": "SandboxFailure", "message": "gone"}
            return {"observation": {"failure": failure}, "reward": None, "done": True}
        right = guess == str(self.number)
        reward = math.nan if guess == "nan" else 1 if right else 0.1
        return {
            "observation": {"hint": "right" if right else "no"},
            "reward": reward,
            "done": right,
        }

    def close(self) -> None:
        self.asked.append(("close", {}))


@pytest.fixture(autouse=True)
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    """No network, and nothing remembered."""
    env._first.cache_clear()
    env._reader.cache_clear()
    Guess.down = False
    monkeypatch.setattr(env, "Connection", Guess)
    monkeypatch.setattr(env, "describe", lambda server: {"action": TEXT})


def make(**options: Any) -> OpenEnvEnv:
    made = srl_env.make(f"openenv:{URL}", format="lines", **options).unwrapped
    assert isinstance(made, OpenEnvEnv)
    return made


def number(made: OpenEnvEnv) -> str:
    return str(made.problem.metadata["seed"] % 10)


def wrong(made: OpenEnvEnv) -> str:
    return str((made.problem.metadata["seed"] + 1) % 10)


def test_each_step_has_the_servers_reward_and_the_end_a_verdict() -> None:
    made = make()
    observation, _ = made.reset(seed=1)
    assert observation.endswith("a digit")
    observation, reward, terminated, _, info = made.step(wrong(made))
    assert (reward, terminated, info["world"]) == (0.1, False, {"reward": 0.1})
    assert observation.endswith("no")
    _, reward, terminated, _, info = made.step(number(made))
    assert (reward, terminated) == (1.0, True)
    assert info["verdict"] == {"correct": True, "answer": None, "score": pytest.approx(1.1)}


def test_under_rlvr_only_the_end_counts_and_small_rewards_do_not_add_up_to_success() -> None:
    made = make(reward_mode="rlvr", correct_at=0.2, max_steps=2)
    made.reset(seed=1)
    made.step(wrong(made))
    _, reward, terminated, truncated, info = made.step(wrong(made))
    assert (reward, terminated, truncated, info["verdict"]["correct"]) == (0.0, False, True, False)


def test_a_server_that_is_down_is_a_failure_of_each_episode_and_no_reward() -> None:
    class Policy:
        def generate(self, batch: Any, sampling: Any) -> list[Generation]:
            Guess.down = True
            return [Generation("1") for _ in batch]

    pool = EnvPool(make)
    (during,) = rollout(pool, Policy(), [Start(seed=1)])
    before = rollout(pool, Policy(), [Start(seed=2), Start(seed=3)])
    kinds = [episode.failure and episode.failure["type"] for episode in (during, *before)]
    assert kinds == ["WorldUnreachable"] * 3
    assert [len(episode.steps) for episode in (during, *before)] == [1, 0, 0]
    assert all(math.isnan(episode.total_reward) for episode in (during, *before))
    assert len({episode.problem_id for episode in (during, *before)}) == 3


def test_an_answer_that_comes_too_late_every_time_is_no_reward_if_nothing_else_comes_either() -> (
    None
):
    made = make()
    made.reset(seed=1)
    original = Guess.ask

    def failing(self: Guess, kind: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
        if kind == "reset":
            raise WorldUnreachable("gone")
        return original(self, kind, data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Guess, "ask", failing)
        info = made.step("slow")[4]
    assert info["failure"]["type"] == "WorldUnreachable"


@pytest.mark.parametrize("text", ["refused", "slow", "nan"])
def test_an_action_that_fails_twice_where_others_do_not_is_wrong_and_not_masked(text: str) -> None:
    made = make()
    made.reset(seed=1)
    made.step(wrong(made))
    _, reward, terminated, _, info = made.step(text)
    assert (reward, terminated, info["verdict"]["correct"]) == (0.0, True, False)
    assert info["verdict"]["policy_fault"]


def test_what_the_server_reports_as_a_failure_is_never_the_policys() -> None:
    made = make()
    made.reset(seed=1)
    info = made.step("failing")[4]
    assert info["failure"] == {"type": "ReportedFailure", "message": "SandboxFailure: gone"}


def test_a_snapshot_is_repeated_on_the_server() -> None:
    made = make()
    made.reset(seed=1)
    made.step(wrong(made))
    snapshot = pickle.loads(pickle.dumps(made.snapshot()))
    ends = made.step(number(made))[1:3]
    made.restore(snapshot)
    assert made.step(number(made))[1:3] == ends == (1.0, True)


def test_options_of_resets_reach_the_server_and_its_refusal_is_the_callers_mistake() -> None:
    made = make(reset_options={"level": 3})
    made.reset(seed=1)
    seed = made.problem.metadata["seed"]
    assert made._connection.asked == [("reset", {"level": 3, "seed": seed})]  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:

        def refuse(self: Guess, kind: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
            raise Refused("no level 3 (VALIDATION_ERROR)")

        patch.setattr(Guess, "ask", refuse)
        with pytest.raises(BadOption, match="^reset_options: no level 3"):
            made.reset(seed=1)


def test_splits_share_no_seed() -> None:
    seeds = [
        {make(split=split).problems[i].metadata["seed"] for i in range(20)}
        for split in ("train", "dev", "test")
    ]
    assert len(set.union(*seeds)) == 60


def test_the_prompt_is_the_servers_if_it_sends_one() -> None:
    data = {
        "observation": {
            "text": "new\ud800",
            "messages": [{"role": "user", "content": "all\ud800"}],
            "info": {"verdict": {"correct": False}},
        },
        "reward": True,
        "done": 1,
    }
    seen = env._read(data)
    assert seen.messages == ({"role": "user", "content": "all\ufffd"},)
    assert (seen.text, seen.reward, seen.done, seen.correct) == ("new\ufffd", 1.0, True, False)
    for broken in ("text", [3], [{"role": "user"}], None):
        assert env._read({"observation": {"text": "a", "messages": broken}}).messages == ()
    assert env._read({"observation": "plain"}).text == "plain"
    assert env._read({"observation": {"a": "x", "b": "y"}}).text == '{"a": "x", "b": "y"}'


def test_a_completion_for_a_server_with_a_format_is_sent_as_it_is() -> None:
    text = {"type": "string", "x-stop": ["</tool_call>", 3], "x-thoughts": True}
    format = AsWritten.of({"properties": {"text": text}})
    assert (format.stop, format.thoughts) == (("</tool_call>",), True)
    assert format.parse("<think>a</think> b").action == "<think>a</think> b"
    assert not format.parse(" ").ok


def test_the_field_of_an_action_is_the_only_text_that_is_needed() -> None:
    texts = {"a": {"type": "string"}, "b": {"type": "string"}}
    assert env._text_field({"properties": texts, "required": ["b"]}) == "b"
    with pytest.raises(BadOption, match="action_field must be given for this server, .* a, b$"):
        env._text_field({"properties": texts})


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("localhost:8000", "url must be the address of an OpenEnv server"),
        ("ftp://localhost", "url must be the address of an OpenEnv server"),
        ("http://", "url must be the address of an OpenEnv server"),
        ("http://localhost:99999", "url must be the address of an OpenEnv server"),
    ],
)
def test_what_is_no_address_is_an_error(url: str, said: str) -> None:
    with pytest.raises(BadOption, match=said):
        Server(url)


def test_a_name_without_an_address_and_a_token_that_is_not_set_are_errors() -> None:
    with pytest.raises(BadOption, match=r"^openenv: needs an address after it, as in openenv:http"):
        srl_env.make("openenv:")
    with pytest.raises(BadOption, match="token_env must name an environment variable that is set"):
        Server(URL, "NOT_SET_ANYWHERE")


def test_addresses_keep_their_path_and_encryption() -> None:
    assert Server("https://a.b/env/").address("ws", "/ws") == "wss://a.b/env/ws"
    assert Server("ws://localhost:3").address("http", "/schema") == "http://localhost:3/schema"


class Pages(BaseHTTPRequestHandler):
    """A web server with the answers of the test: {path: (status, text)}."""

    pages: dict[str, tuple[int, str]]

    def do_GET(self) -> None:
        status, text = self.pages.get(self.path, (404, "{}"))
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: Any) -> None:
        pass


def described(pages: dict[str, tuple[int, str]]) -> Mapping[str, Any]:
    describe.cache_clear()
    handler = type("Handler", (Pages,), {"pages": pages})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            return describe(Server(f"http://127.0.0.1:{server.server_port}", None, 5))
        finally:
            server.shutdown()
            thread.join()


def stating(version: str) -> dict[str, tuple[int, str]]:
    document = json.dumps({"info": {"version": version}})
    return {"/openapi.json": (200, document), "/schema": (200, json.dumps({"action": TEXT}))}


def test_another_version_of_the_protocol_and_other_servers_are_one_line() -> None:
    assert described(stating("1.7"))["action"] == TEXT
    for pages, said in (
        (stating("2.0.0"), r"the protocol's version must be 1\.x; got '2\.0\.0'"),
        ({}, "must be an OpenEnv server; its /schema answers 404"),
        ({"/schema": (200, "[]")}, "must be an OpenEnv server; its /schema has no actions"),
        ({"/schema": (200, "<html>")}, "must be a running OpenEnv server"),
        ({"/openapi.json": (401, "{}")}, "needs a token, and got none"),
    ):
        with pytest.raises(BadOption, match=said) as error:
            described(pages)
        assert "\n" not in str(error.value)


def test_answers_that_are_no_messages_are_refused() -> None:
    for raw in ("{", b"\xff", "[]", '{"type": "observation"}', "[" * 100_000):
        with pytest.raises(Refused, match="answers something that is"):
            connection._read(raw, URL)
    full = '{"type": "error", "data": {"code": "CAPACITY_REACHED", "message": "full"}}'
    with pytest.raises(WorldUnreachable, match="has no free session: full"):
        connection._read(full, URL)
