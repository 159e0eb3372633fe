"""Any server with OpenAI's API as a policy: vLLM, SGLang, llama.cpp, Ollama, OpenAI, ….

Requests run in parallel with deadlines. A failed request is retried after a wait. After the last
retry it returns a ``PolicyFailure``, which ends its episode and is never a reward. The client's own
retries are off: they do not cover unreadable answers, and are not counted.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import threading
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, TypeVar, get_args
from urllib.parse import urlsplit

from srl_agents.policies.request_seeds import RequestSeeds
from srl_agents.policies.servers.answers import Answer, read_answer
from srl_agents.policies.servers.failures import (
    BadAnswer,
    RequestRefused,
    RequestTimeout,
    Retryable,
    read_error,
    unknown_field,
)
from srl_env.errors import BadOption, Failure, LimitReached, MissingExtra
from srl_env.policy import Generation, Sampling
from srl_env.seconds import check_seconds
from srl_env.text.prompt import Message, MessageCall, Messages
from srl_env.text.stops import find_stop

T = TypeVar("T")

Api = Literal["chat", "completions"]
KEY_ENV = "OPENAI_API_KEY"
GIVE_UP_AFTER = 20
LONGEST_BACKOFF_S = 30.0


@dataclass(slots=True)
class Usage:
    """Requests sent, retries among them, prompts that failed after all retries, and tokens and
    cost (in the unit of the prices, 0 without) as the server counts them.
    """

    requests: int = 0
    retries: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0


class OpenAIPolicy:
    """A model behind an OpenAI-compatible server.

    Generations have token ids only if the server returns them (vLLM, with
    ``extra_body={"return_token_ids": True}``). Log-probabilities are requested only at temperature
    1, because servers return those from before the temperature. ``max_tokens``, ``temperature``,
    ``seed``, ``stop`` and log-probabilities are omitted or renamed once a server refuses them;
    ``notes`` lists these.

    ``generate`` returns a ``PolicyFailure`` instead of a generation: RequestTimeout,
    ServerUnreachable, ServerError, RateLimited, BadAnswer, RequestRefused. It raises that failure
    if no request was ever answered, or after 20 failed prompts in a row. It raises BadOption if
    the server refuses the key, the model, or every request, and LimitReached.
    """

    concurrent: ClassVar[bool] = True
    """Several threads may call ``generate``; ``concurrency`` holds for all together."""

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        api_key_env: str | None = None,
        api: Api = "chat",
        concurrency: int = 16,
        timeout_s: float = 120.0,
        retries: int = 5,
        backoff_s: float = 0.5,
        max_wait_s: float = 120.0,
        max_requests: int | None = None,
        max_cost: float | None = None,
        prices: Sequence[float] | None = None,
        logprobs: bool = True,
        tools: bool = True,
        seed: int | None = None,
        extra_body: Mapping[str, Any] | None = None,
    ) -> None:
        """model: its name on the server. base_url: ends in "/v1"; None for OpenAI's.

        api_key_env: the environment variable with the key, OPENAI_API_KEY for OpenAI. Another
        server gets a key only if this names it. api: "completions" sends the contents of the
        messages one after the other, for models without a chat template. concurrency: parallel
        requests. timeout_s: of one request, up to the last byte. retries: of a prompt. backoff_s:
        the first wait, which doubles. The server's Retry-After replaces it; above max_wait_s it
        is a failure. max_requests, max_cost: limits in total. prices: (prompt, completion) for a
        million tokens. tools: whether an environment's tools are sent as ``tools``; False describes
        them in the prompt's text. seed: base of the seeds of the requests. extra_body: further
        fields of every request. Raises MissingExtra without the package openai, BadOption for a bad
        value.
        """
        _check_options(
            api,
            timeout_s,
            prices,
            concurrency=concurrency,
            retries=retries,
            backoff_s=backoff_s,
            max_wait_s=max_wait_s,
            max_requests=max_requests,
            max_cost=max_cost,
            seed=seed,
        )
        _check_place(model, base_url)
        self.model, self.api = model, api
        self.timeout_s, self.retries, self.backoff_s = timeout_s, retries, backoff_s
        self.max_wait_s, self.max_requests, self.max_cost = max_wait_s, max_requests, max_cost
        self.prices = tuple(prices) if prices else (0.0, 0.0)
        self.logprobs, self.extra_body = logprobs, dict(extra_body or {})
        self.native_tools = tools and api == "chat"
        self.usage = Usage()
        self.generator = None if seed is None else RequestSeeds(seed, "openai request")
        key = api_key or _find_key(base_url, api_key_env)
        self._client = _make_client(key, base_url, timeout_s)
        self._server = base_url or "the OpenAI API"
        self._slots = asyncio.Semaphore(concurrency)
        self._loop = _BackgroundLoop(self._client.close)
        self._unknown: set[str] = set()
        self._pause_until = 0.0
        self._answered = self._in_a_row = 0

    def generate(
        self, batch: Sequence[Messages], sampling: Sampling
    ) -> Sequence[Generation | Failure]:
        """One generation, or a failure, for each prompt."""
        seeds: Sequence[int | None] = [None] * len(batch)
        if self.generator is not None:
            seeds = self.generator.next_for(len(batch), sampling.seeds)
        prompts = list(zip(batch, seeds, strict=True))
        outcomes = self._loop.run(self._ask_all(prompts, sampling))
        failures = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
        if failures and not self._answered:
            raise _nothing_works(failures[0])
        if self._in_a_row >= GIVE_UP_AFTER:
            raise next(f for f in reversed(failures) if not isinstance(f, RequestRefused))
        return outcomes

    @property
    def notes(self) -> tuple[str, ...]:
        """Parameters that the server refused; part of an evaluation's result."""
        return tuple(
            f"{self._server} refuses {name}: "
            + ("sent as max_completion_tokens" if name == "max_tokens" else "omitted")
            for name in sorted(self._unknown)
        )

    def close(self) -> None:
        """Closes the connections; also done when the policy is garbage-collected."""
        self._loop.close()

    async def _ask_all(
        self, prompts: Sequence[tuple[Messages, int | None]], sampling: Sampling
    ) -> list[Generation | Failure]:
        tasks = [
            asyncio.ensure_future(self._ask(messages, sampling.of([row]), seed))
            for row, (messages, seed) in enumerate(prompts)
        ]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def _ask(
        self, messages: Messages, sampling: Sampling, seed: int | None
    ) -> Generation | Failure:
        """The answer to one prompt, after at most ``retries`` further requests."""
        for attempt in itertools.count():
            try:
                made = self._succeeded(await self._send(messages, sampling, seed, attempt > 0))
                if not sampling.ended_early(made):
                    return made
                return await self._ask(messages, replace(sampling, thoughts=True), seed)
            except RequestRefused as refused:
                self.usage.failed += 1
                return refused
            except Retryable as error:
                wait_s = self._wait_s(error, attempt)
                if attempt == self.retries or wait_s > self.max_wait_s:
                    self.usage.failed += 1
                    self._in_a_row += 1
                    return error.failure
                await asyncio.sleep(wait_s)
        raise AssertionError("the loop ends by returning")

    async def _send(
        self, messages: Messages, sampling: Sampling, seed: int | None, again: bool
    ) -> Answer:
        """The answer to one request, sent again without each parameter that the server refuses."""
        async with self._slots:
            await asyncio.sleep(max(0.0, self._pause_until - _now()))
            while True:
                self._check_limits()
                self.usage.requests += 1
                self.usage.retries += again
                fields = self._fields(messages, sampling, seed)
                try:
                    return self._read(await self._post(fields), sampling)
                except BadAnswer as bad:
                    raise Retryable(bad) from bad
                except TimeoutError:
                    late = RequestTimeout(f"{self._server} did not answer in {self.timeout_s:g} s")
                    raise Retryable(late) from None
                except Exception as error:
                    meaning = read_error(error, self._server)
                    unknown = unknown_field(error, self._dispensable(fields))
                    if meaning is error:
                        raise
                    if unknown is None or not isinstance(meaning, RequestRefused):
                        raise meaning from error
                    self._unknown.add(unknown)

    async def _post(self, fields: Mapping[str, Any]) -> bytes:
        """The server's answer; TimeoutError if it is not complete in time."""
        chat = self._client.chat.completions if self.api == "chat" else self._client.completions
        async with asyncio.timeout(self.timeout_s):
            response = await chat.with_raw_response.create(model=self.model, **fields)
            return bytes(response.content)

    def _fields(self, messages: Messages, sampling: Sampling, seed: int | None) -> dict[str, Any]:
        """The fields of a request, without those that the server refused."""
        if sampling.prefill and self.api == "chat":
            raise BadOption(
                "a chat server must write completions from their beginning; got a format with"
                f" prefill {sampling.prefill!r}. Fix: leave format.prefill empty"
            )
        if sampling.max_thinking_tokens is not None:
            raise BadOption(
                f"{self._server} cannot close a thought; got a format with max_thinking_tokens ="
                f" {sampling.max_thinking_tokens}. Fix: leave it out, and give the server's own"
                " limit in extra_body"
            )
        text = "".join(message["content"] for message in messages)
        prompt = {"prompt": text + sampling.prefill}
        chat = {"messages": [_as_sent(message) for message in messages]}
        fields: dict[str, Any] = chat if self.api == "chat" else prompt
        if sampling.tools:
            fields["tools"] = [tool.schema() for tool in sampling.tools]
        limit = "max_completion_tokens" if "max_tokens" in self._unknown else "max_tokens"
        fields |= {"temperature": sampling.temperature, limit: sampling.max_tokens}
        if stop := sampling.engine_stop:
            fields["stop"] = stop
        if self.logprobs and sampling.temperature == 1:
            fields["logprobs"] = True if self.api == "chat" else 0
        if seed is not None:
            fields["seed"] = seed
        known = {name: value for name, value in fields.items() if name not in self._unknown}
        return known | ({"extra_body": self.extra_body} if self.extra_body else {})

    def _dispensable(self, fields: Mapping[str, Any]) -> list[str]:
        return [name for name in _DISPENSABLE if name in fields]

    def _read(self, body: bytes, sampling: Sampling) -> Answer:
        answer = read_answer(body, () if sampling.thoughts else sampling.stop)
        made = answer.generation
        text = sampling.prefill + made.text
        end = find_stop(text, sampling.stop) if sampling.thoughts else None
        if end is not None:  # the ids go on after it
            made = replace(made, token_ids=(), logprobs=(), finish_reason="stop")
        return replace(answer, generation=replace(made, text=text[:end]))

    def _wait_s(self, error: Retryable, attempt: int) -> float:
        """The wait before the next attempt; Retry-After holds for all requests."""
        if error.retry_after_s is not None:
            self._pause_until = max(self._pause_until, _now() + error.retry_after_s)
            return error.retry_after_s
        longest = min(self.backoff_s * 2.0**attempt, LONGEST_BACKOFF_S)
        return longest * random.uniform(0.5, 1.0)

    def _succeeded(self, answer: Answer) -> Generation:
        self._answered += 1
        self._in_a_row = 0
        counts = (answer.prompt_tokens, answer.completion_tokens)
        if self.max_cost is not None and not any(counts):
            raise BadOption(
                f"max_cost={self.max_cost:g} has no effect: {self._server} does not count tokens."
                " Fix: give max_requests instead"
            )
        self.usage.prompt_tokens += counts[0]
        self.usage.completion_tokens += counts[1]
        cost = (count * price for count, price in zip(counts, self.prices, strict=True))
        self.usage.cost += sum(cost) / 1e6
        return answer.generation

    def _check_limits(self) -> None:
        for name, limit, spent in (
            ("max_requests", self.max_requests, self.usage.requests),
            ("max_cost", self.max_cost, self.usage.cost),
        ):
            if limit is not None and spent >= limit:
                raise LimitReached(
                    f"{name}={limit:g} is reached after {self.usage.requests} requests. Saved "
                    "episodes are kept; a resumed evaluation counts from 0"
                )


def _as_sent(message: Message) -> dict[str, Any]:
    """A message as servers take it: arguments are JSON text, and tool messages have no name."""
    sent: dict[str, Any] = {name: value for name, value in message.items() if name != "name"}
    if "tool_calls" in message:
        sent["tool_calls"] = [
            {**call, "function": {**call["function"], "arguments": _json(call)}}
            for call in message["tool_calls"]
        ]
    return sent


def _json(call: MessageCall) -> str:
    return json.dumps(call["function"]["arguments"], ensure_ascii=False)


class _BackgroundLoop:
    """An event loop in its own thread, so that callers may have one or none."""

    def __init__(self, at_end: Callable[[], Awaitable[None]]) -> None:
        self._loop = asyncio.new_event_loop()
        thread = threading.Thread(target=self._loop.run_forever, name="openai", daemon=True)
        thread.start()
        self._end = weakref.finalize(self, _end_loop, self._loop, thread, at_end)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The coroutine's result; an interrupt cancels it."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        finally:
            future.cancel()

    def close(self) -> None:
        """Ends loop and thread."""
        self._end()


def _end_loop(
    loop: asyncio.AbstractEventLoop,
    thread: threading.Thread,
    at_end: Callable[[], Awaitable[None]],
) -> None:
    async def end() -> None:
        await at_end()
        loop.call_soon(loop.stop)

    asyncio.run_coroutine_threadsafe(end(), loop)
    if thread is not threading.current_thread():
        thread.join()
        loop.close()


_LEAST = {
    "concurrency": 1,
    "retries": 0,
    "backoff_s": 0,
    "max_wait_s": 0,
    "max_requests": 0,
    "max_cost": 0,
    "seed": 0,
}


def _check_options(
    api: str, timeout_s: float, prices: Sequence[float] | None, **numbers: Any
) -> None:
    for name, value in numbers.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if value is not None and (not number or value < _LEAST[name]):
            raise BadOption(f"{name} must be a number >= {_LEAST[name]}; got {value!r}")
    if api not in get_args(Api):
        raise BadOption(f"api must be 'chat' or 'completions'; got {api!r}")
    check_seconds("timeout_s", timeout_s)
    if prices is not None and (len(prices) != 2 or min(prices) < 0):
        raise BadOption(
            "prices must be (prompt, completion) for a million tokens, as (0.15, 0.6); got"
            f" {prices}"
        )
    if numbers["max_cost"] is not None and not prices:
        raise BadOption("max_cost needs prices, as prices=(0.15, 0.6) for a million tokens")


def _check_place(model: str, base_url: str | None) -> None:
    if not model:
        raise BadOption("the model's name on the server is empty. Fix: name it, as openai:MODEL")
    if base_url is not None and not base_url.startswith(("http://", "https://")):
        raise BadOption(
            "base_url must begin with http:// or https://, as http://localhost:8000/v1; got"
            f" {base_url!r}"
        )


def _find_key(base_url: str | None, api_key_env: str | None) -> str:
    """The key from the environment; "none" for other servers, which mostly need no key."""
    host = urlsplit(base_url or os.environ.get("OPENAI_BASE_URL") or "//api.openai.com").hostname
    openais = host is not None and f".{host}".endswith(".openai.com")
    if api_key_env is None and base_url and not openais:
        return "none"
    name = api_key_env or KEY_ENV
    if key := os.environ.get(name):
        return key
    raise BadOption(
        f"no API key: the environment variable {name} is not set. Fix: set it, name another with "
        "api_key_env (--api-key-env), or give the base_url (--base-url) of a server without keys"
    )


def _make_client(key: str, base_url: str | None, timeout_s: float) -> Any:
    try:
        import openai
    except ImportError:
        raise MissingExtra("openai", "openai") from None
    return openai.AsyncOpenAI(api_key=key, base_url=base_url, timeout=timeout_s, max_retries=0)


def _nothing_works(failure: Failure) -> Exception:
    if not isinstance(failure, RequestRefused):
        return failure
    advice = "check the model and its options"
    if "chat template" in str(failure):
        advice = """use api="completions" (--policy-kwargs '{"api": "completions"}')"""
    elif "tool" in str(failure):
        advice = """use tools=False (--policy-kwargs '{"tools": false}')"""
    return BadOption(f"{str(failure).rstrip('.')}. No request succeeded so far. Fix: {advice}")


def _now() -> float:
    return asyncio.get_running_loop().time()


_DISPENSABLE = ("logprobs", "seed", "stop", "max_tokens", "temperature")
