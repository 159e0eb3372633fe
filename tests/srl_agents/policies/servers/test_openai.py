"""A policy behind a server that fails in every way servers do."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from typing import Any

import pytest

from srl_agents.evaluation.evaluator import evaluate
from srl_agents.policies.servers.failures import (
    BadAnswer,
    RateLimited,
    RequestRefused,
    RequestTimeout,
    ServerError,
    ServerUnreachable,
    retry_after_s,
)
from srl_agents.runs.evaluation import EvalSettings
from srl_env.errors import BadOption, Failure, LimitReached, MissingExtra
from srl_env.policy import Generation, Sampling
from srl_env.rollout import EnvPool, Start, rollout
from srl_env.testing import CountingEnv
from srl_env.text.prompt import Message
from tests.srl_agents.policies.servers.loopback import (
    Loopback,
    Reply,
    breaks_off,
    chat,
    hangs_up,
    refuses,
    says,
    stalls,
    trickles,
)

pytest.importorskip("openai")

from srl_agents.policies.servers.openai import GIVE_UP_AFTER, OpenAIPolicy

Make = Callable[..., OpenAIPolicy]


@pytest.fixture(autouse=True)
def _no_keys_and_no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def make() -> Iterator[Make]:
    """Makes policies with waits too short to notice, and closes them."""
    made: list[OpenAIPolicy] = []

    def build(server: Loopback | str, model: str = "m", **options: Any) -> OpenAIPolicy:
        url = server if isinstance(server, str) else server.base_url
        made.append(OpenAIPolicy(model, **{"base_url": url, "backoff_s": 0.01, **options}))
        return made[-1]

    yield build
    for policy in made:
        policy.close()


def user(text: str) -> list[Message]:
    return [{"role": "user", "content": text}]


def ask(policy: OpenAIPolicy, *texts: str, **sampling: Any) -> list[Generation | Failure]:
    return list(policy.generate([user(text) for text in texts], Sampling(**sampling)))


def echo(request: Any) -> Any:
    return chat(request["messages"][-1]["content"].upper())


# what is asked and what comes back


def test_each_prompt_gets_its_answer_in_order(make: Make) -> None:
    with Loopback(answer=echo) as server:
        policy = make(server)
        assert ask(policy, "a", "b", "c") == [Generation("A"), Generation("B"), Generation("C")]
        assert (policy.usage.requests, policy.usage.retries, policy.usage.failed) == (3, 0, 0)
        assert {request["path"] for request in server.requests} == {"/v1/chat/completions"}


def test_the_request_says_how_to_sample(make: Make) -> None:
    with Loopback() as server:
        policy = make(server, "big", extra_body={"top_k": 5})
        ask(policy, "a", temperature=0.7, max_tokens=9, stop=("\n",))
        (request,) = server.requests
    assert request["messages"] == user("a")
    assert (request["model"], request["temperature"], request["max_tokens"]) == ("big", 0.7, 9)
    assert (request["stop"], request["top_k"], request["key"]) == (["\n"], 5, "Bearer none")
    assert "logprobs" not in request  # servers give those from before the temperature
    assert "seed" not in request


def test_a_completion_that_may_think_is_cut_here_and_not_by_the_server(make: Make) -> None:
    def thinks(_: Any) -> Any:
        return chat("<think>a\nb</think>\nc\nd")

    with Loopback(answer=thinks) as server:
        (made,) = ask(make(server), "a", stop=("\n",), thoughts=True)
        (request,) = server.requests
    assert made == Generation("<think>a\nb</think>\nc\n")
    assert "stop" not in request


@pytest.mark.parametrize("delivered", ["", "\n", "<think>a"])
def test_a_step_that_the_server_ended_before_it_began_is_asked_for_whole(
    make: Make, delivered: str
) -> None:
    def says_more(request: Any) -> Any:
        return chat(delivered if "stop" in request else "\n<think>a\nb</think>\n c\nd")

    with Loopback(answer=says_more) as server:
        policy = make(server, seed=3)
        (made,) = ask(policy, "a", stop=("\n",))
        first, second = server.requests
    assert made == Generation("\n<think>a\nb</think>\n c\n")
    assert first["seed"] == second["seed"]  # the server writes the same once more
    assert (policy.usage.requests, policy.usage.retries) == (2, 0)


def test_a_prefill_goes_to_models_without_a_chat_template_only(make: Make) -> None:
    written = {"choices": [{"text": "a\nb</think>c\nd"}]}
    with Loopback(says(written)) as server:
        how = {"prefill": "<think>", "stop": ("\n",), "thoughts": True}
        (made,) = ask(make(server, api="completions"), "q", **how)
        assert made == Generation("<think>a\nb</think>c\n")
        assert server.requests[0]["prompt"] == "q<think>"
        with pytest.raises(BadOption, match="leave format.prefill empty"):
            ask(make(server), "q", **how)


def test_completions_get_the_contents_one_after_the_other(make: Make) -> None:
    answer = {"choices": [{"text": "c;", "logprobs": {"token_logprobs": [-0.1, -0.2]}}]}
    with Loopback(says(answer)) as server:
        policy = make(server, api="completions")
        prompt: list[Message] = [
            {"role": "system", "content": "do. "},
            {"role": "user", "content": "a;b;"},
        ]
        made = policy.generate([prompt], Sampling())
        (request,) = server.requests
    assert list(made) == [Generation("c;", logprobs=(-0.1, -0.2))]
    assert (request["path"], request["prompt"]) == ("/v1/completions", "do. a;b;")
    assert request["logprobs"] == 0


def test_tokens_and_cost_are_counted(make: Make) -> None:
    with Loopback() as server:
        policy = make(server, prices=(2.0, 8.0))
        ask(policy, "a", "b")
    usage = policy.usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (20, 6)
    assert usage.cost == pytest.approx((20 * 2.0 + 6 * 8.0) / 1e6)


def test_no_more_requests_run_at_once_than_allowed(make: Make) -> None:
    lock, seen = threading.Lock(), [0, 0]

    def slow(request: Any) -> Any:
        with lock:
            seen[0] += 1
            seen[1] = max(seen)
        time.sleep(0.03)
        with lock:
            seen[0] -= 1
        return chat("fine")

    with Loopback(answer=slow) as server:
        ask(make(server, concurrency=3), *"abcdefgh")
    assert 1 < seen[1] <= 3


def test_seeds_that_come_with_a_request_are_sent_and_leave_the_policys_own(make: Make) -> None:
    with Loopback() as server:
        policy = make(server, seed=4, concurrency=1)
        assert policy.generator is not None
        before = policy.generator.get_state()
        prompts: list[list[Message]] = [[{"role": "user", "content": text}] for text in "ab"]
        policy.generate(prompts, Sampling(seeds=(7, 2**31)))
    assert [request["seed"] for request in server.requests] == [7, 0]
    assert policy.generator.get_state() == before


def test_equal_seeds_send_equal_seeds_and_no_two_alike(make: Make) -> None:
    with Loopback() as server:
        for _ in range(2):
            ask(make(server, seed=4, concurrency=1), "a", "a")
    seeds = [request["seed"] for request in server.requests]
    assert seeds[:2] == seeds[2:]
    assert len(set(seeds)) == 2


def test_a_reasoning_server_solves_an_environment_in_its_format(make: Make) -> None:
    def count(request: Any) -> Any:
        done = request["messages"][-1]["content"].count("say ")
        answer = chat("the sum=3!" if done == 2 else f"say {done + 1}")
        answer["choices"][0]["message"]["reasoning_content"] = "what comes next?"
        return answer

    with Loopback(answer=count) as server:
        starts = [Start({"problem": "count-2", "continuation": "policy"})]
        (episode,) = rollout(EnvPool(CountingEnv), make(server), starts)
    assert [step.action for step in episode.steps] == ["say 1", "say 2", "the sum=3!"]
    assert episode.correct
    assert all(step.format_ok for step in episode.steps)


# failures


@pytest.mark.parametrize(
    "trouble",
    [
        refuses(429, "slow down", Retry_After="0"),
        refuses(500),
        refuses(503),
        refuses(408),
        hangs_up,
        breaks_off,
        says(b'{"choices": [{"message": {"content": "x = '),
        says({"choices": []}),
        says({"choices": [{"message": {"content": 7}}]}),
        says(b"\xff"),
        says("fine"),
    ],
)
def test_what_passes_is_tried_again(make: Make, trouble: Reply) -> None:
    with Loopback(trouble, trouble) as server:
        policy = make(server)
        assert ask(policy, "a") == [Generation("fine")]
    assert (policy.usage.requests, policy.usage.retries, policy.usage.failed) == (3, 2, 0)


@pytest.mark.parametrize(
    ("trouble", "kind"),
    [
        (refuses(429), RateLimited),
        (refuses(500), ServerError),
        (hangs_up, ServerUnreachable),
        (breaks_off, ServerUnreachable),
        (says(b"{"), BadAnswer),
        (says({"choices": []}), BadAnswer),
        (stalls, RequestTimeout),
        (trickles, RequestTimeout),
    ],
)
def test_what_does_not_pass_is_a_failure_of_its_kind(
    make: Make, trouble: Reply, kind: type[Failure]
) -> None:
    with Loopback(says(chat("first")), *[trouble] * 3) as server:
        policy = make(server, retries=2, timeout_s=1.0)
        assert ask(policy, "a") == [Generation("first")]
        (failure,) = ask(policy, "b")
        assert ask(policy, "c") == [Generation("fine")]
    assert type(failure) is kind
    assert (policy.usage.requests, policy.usage.retries, policy.usage.failed) == (5, 2, 1)


def test_the_wait_that_a_server_asks_for_holds_for_all_requests(make: Make) -> None:
    with Loopback(refuses(429, Retry_After="0.4"), says(chat("x"))) as server:
        policy = make(server, concurrency=1)
        began = time.monotonic()
        ask(policy, "a", "b", "c")
        assert time.monotonic() - began >= 0.4
    assert policy.usage.requests == 4


def test_a_wait_beyond_patience_is_a_failure_at_once(make: Make) -> None:
    with Loopback(says(chat("first")), refuses(429, Retry_After="3600")) as server:
        policy = make(server, max_wait_s=5)
        ask(policy, "a")
        (failure,) = ask(policy, "b")
    assert isinstance(failure, RateLimited)
    assert policy.usage.requests == 2


def test_retry_after_may_be_a_date() -> None:
    assert retry_after_s({"retry-after": "1.5"}) == 1.5
    assert retry_after_s({"retry-after": formatdate(time.time() + 60, usegmt=True)}) == (
        pytest.approx(60, abs=2)
    )
    for unreadable in ("", "soon", "nan"):
        assert retry_after_s({"retry-after": unreadable}) is None
    assert retry_after_s({"retry-after": "-3"}) == 0


def test_a_refused_prompt_is_a_failure_where_others_were_taken(make: Make) -> None:
    with Loopback(says(chat("first")), refuses(400, "maximum context length is 8")) as server:
        policy = make(server, concurrency=1)
        made = ask(policy, "a", "too long", "c")
    assert isinstance(made[1], RequestRefused)
    assert "maximum context length" in str(made[1])
    assert (made[0], made[2]) == (Generation("first"), Generation("fine"))
    assert policy.usage.requests == 3


def test_a_server_that_refuses_everything_is_the_users_to_fix(make: Make) -> None:
    with (
        Loopback(*[refuses(400, "no images here")] * 2) as server,
        pytest.raises(BadOption, match="no images here"),
    ):
        ask(make(server), "a", "b")


def test_a_server_that_misses_a_chat_template_is_answered_with_the_other_api(make: Make) -> None:
    with (
        Loopback(refuses(400, "you must provide a chat template.")) as server,
        pytest.raises(BadOption, match=r'a chat template\. No request .*"api": "completions"'),
    ):
        ask(make(server), "a")


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, None), (403, None), (404, "model_not_found"), (429, "insufficient_quota")],
)
def test_keys_models_and_accounts_are_the_users_to_mend(
    make: Make, status: int, code: str | None
) -> None:
    with Loopback(says(chat("fine")), refuses(status, "not you", code)) as server:
        policy = make(server)
        ask(policy, "a")
        with pytest.raises(BadOption, match=f"answered {status}: not you"):
            ask(policy, "b")


def test_a_path_the_server_does_not_have_names_the_base_url(make: Make) -> None:
    with (
        Loopback(says({"detail": "Not Found."}, 404)) as server,
        pytest.raises(BadOption, match="404: Not Found. Check .* base URL, .* ends in /v1"),
    ):
        ask(make(server.base_url.removesuffix("/v1")), "a")


def test_a_server_that_never_answered_stops_everything(make: Make) -> None:
    with Loopback() as server:
        gone = server.base_url
    with pytest.raises(ServerUnreachable, match=gone):
        ask(make(gone, retries=1), "a", "b")


def test_a_server_that_is_gone_for_good_stops_everything(make: Make) -> None:
    with Loopback(says(chat("first")), *[refuses(500)] * GIVE_UP_AFTER) as server:
        policy = make(server, retries=0)
        ask(policy, "a")
        with pytest.raises(ServerError):
            ask(policy, *["b"] * GIVE_UP_AFTER)


@pytest.mark.parametrize(
    ("message", "gone", "there"),
    [
        ("Unsupported parameter: 'max_tokens'; use 'max_completion_tokens'", "max_tokens",
         "max_completion_tokens"),
        ("logprobs are not supported with reasoning models", "logprobs", "max_tokens"),
        ("Unrecognized request argument supplied: seed", "seed", "logprobs"),
        ("Extra inputs are not permitted: stop", "stop", "seed"),
        ("temperature must be 1", "temperature", "seed"),
        ("Unsupported value: 'temperature' does not support 0.7", "temperature", "max_tokens"),
    ],
)  # fmt: skip
def test_a_field_the_server_does_not_know_is_left_out_from_then_on(
    make: Make, message: str, gone: str, there: str
) -> None:
    with Loopback(refuses(400, message)) as server:
        policy = make(server, seed=1)
        assert ask(policy, "a", stop=(";",)) == [Generation("fine")]
        ask(policy, "b", stop=(";",))
    first, *later = server.requests
    assert gone in first
    assert all(gone not in request and there in request for request in later)
    assert len(later) == 2
    assert [note.partition(" refuses ")[2].split(":")[0] for note in policy.notes] == [gone]


# limits


def test_no_request_goes_beyond_the_limit(make: Make) -> None:
    with Loopback() as server:
        policy = make(server, max_requests=3, concurrency=2)
        with pytest.raises(LimitReached, match="max_requests=3"):
            ask(policy, *"abcdef")
        assert policy.usage.requests == 3
        assert len(server.requests) <= 3  # the last may be cut off on its way

    with Loopback() as server:
        with pytest.raises(LimitReached, match="max_requests=3"):
            ask(make(server, max_requests=3, concurrency=1), *"abcdef")
        assert len(server.requests) == 3


def test_no_request_is_sent_once_the_money_is_spent(make: Make) -> None:
    with Loopback() as server:
        # 10 prompt tokens at 100000 a million tokens: 1 each
        policy = make(server, max_cost=2.5, prices=(1e5, 0), concurrency=1)
        with pytest.raises(LimitReached, match="max_cost=2.5"):
            ask(policy, *"abcdef")
        assert len(server.requests) == 3


def test_a_cost_that_the_server_does_not_tell_is_no_limit(make: Make) -> None:
    silent = chat("fine") | {"usage": None}
    with (
        Loopback(says(silent)) as server,
        pytest.raises(BadOption, match="does not count tokens. Fix: give max_requests"),
    ):
        ask(make(server, max_cost=2.5, prices=(1e5, 0)), "a")


# keys and options


def test_no_key_is_an_error_that_says_what_to_set() -> None:
    with pytest.raises(BadOption, match="OPENAI_API_KEY is not set"):
        OpenAIPolicy("m")
    with pytest.raises(BadOption, match="MY_KEY is not set"):
        OpenAIPolicy("m", base_url="http://127.0.0.1:9/v1", api_key_env="MY_KEY")


def test_a_key_goes_to_another_server_only_where_it_is_named(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    with Loopback() as server:
        ask(make(server), "a")
        ask(make(server, api_key_env="OPENAI_API_KEY"), "a")
    assert [request["key"] for request in server.requests] == ["Bearer none", "Bearer secret"]


def test_a_key_of_openai_goes_to_no_host_that_only_ends_alike(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    keys = {
        url: OpenAIPolicy("m", base_url=f"https://{url}/v1")._client.api_key
        for url in ("notopenai.com", "openai.com.example", "eu.api.openai.com")
    }
    assert keys == {
        "notopenai.com": "none",
        "openai.com.example": "none",
        "eu.api.openai.com": "secret",
    }


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openai", None)
    with pytest.raises(MissingExtra, match=r"srl-env\[openai\]"):
        OpenAIPolicy("m", api_key="k")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"api": "responses"}, "api must be 'chat' or 'completions'"),
        ({"concurrency": 0}, "concurrency must be a number >= 1; got 0"),
        ({"concurrency": "3"}, "concurrency must be a number >= 1; got '3'"),
        ({"max_requests": True}, "max_requests must be a number >= 0; got True"),
        ({"timeout_s": 0}, "timeout_s must be seconds, above 0"),
        ({"prices": (1.0,)}, "prices must be"),
        ({"max_cost": 1.0}, "max_cost needs prices"),
    ],
)
def test_options_that_cannot_work_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadOption, match=message):
        OpenAIPolicy("m", api_key="k", **options)


@pytest.mark.parametrize("url", ["", "localhost:8000/v1", "127.0.0.1:8000/v1"])
def test_a_base_url_without_its_scheme_is_refused_before_any_request(url: str) -> None:
    with pytest.raises(BadOption, match="base_url must begin with http:// or https://"):
        OpenAIPolicy("m", api_key="k", base_url=url)


def test_a_model_without_a_name_is_refused() -> None:
    with pytest.raises(BadOption, match="name on the server is empty"):
        OpenAIPolicy("", base_url="http://127.0.0.1:9/v1")


# whole evaluations


def test_failures_leave_the_scores_and_are_counted(make: Make) -> None:
    def solve(request: Any) -> Any:
        target = int(request["messages"][-1]["content"].partition("Count to ")[2][0])
        return chat(f"<think></think>the sum={sum(range(target + 1))}!")

    with Loopback(says(chat("<think></think>say 1")), refuses(500), answer=solve) as server:
        policy = make(server, retries=0, concurrency=1)
        result = evaluate(policy, CountingEnv, EvalSettings(rollouts=2, greedy=False))
    assert result.failures == {"ServerError": 1}
    assert result.scores["pass@1"] == (1.0, 1.0, 1.0)
    assert (result.usage["requests"], result.usage["failed"]) == (7, 1)
    assert result.usage["completion_tokens"] == 6 * 3


FILTERED = {
    **chat(""),
    "choices": [{"message": {"content": ""}, "finish_reason": "content_filter"}],
}


@pytest.mark.parametrize(
    ("reply", "failure"),
    [
        (says(FILTERED), None),  # it reacts to what the policy wrote
        (refuses(400, code="content_filter"), "RequestRefused"),
        (stalls, "RequestTimeout"),  # max_tokens limits what the policy writes
    ],
)
def test_a_filtered_completion_is_wrong_and_a_filtered_or_late_prompt_is_a_failure(
    make: Make, reply: Reply, failure: str | None
) -> None:
    with Loopback(says(chat("first")), reply) as server:
        policy = make(server, retries=0, concurrency=1, timeout_s=1.0)
        ask(policy, "a")
        start = Start({"problem": "count-2", "continuation": "policy"})
        (episode,) = rollout(EnvPool(CountingEnv), policy, [start])
    assert (episode.failure and episode.failure["type"]) == failure
    assert episode.correct is not True
    assert failure or not episode.steps[0].format_ok


def test_a_forgotten_policy_leaves_no_connection_and_no_thread() -> None:
    with Loopback() as server:
        policy = OpenAIPolicy("m", base_url=server.base_url)
        ask(policy, "a")
        assert "openai" in {thread.name for thread in threading.enumerate()}
        del policy
        gc.collect()
        assert "openai" not in {thread.name for thread in threading.enumerate()}


def test_a_policy_works_inside_a_running_event_loop(make: Make) -> None:
    async def inside(policy: OpenAIPolicy) -> list[Generation | Failure]:
        return ask(policy, "a")

    with Loopback() as server:
        assert asyncio.run(inside(make(server))) == [Generation("fine")]
