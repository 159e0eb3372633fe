"""Any server that speaks OpenAI's API as a policy: vLLM, SGLang, llama.cpp, Ollama, OpenAI, ….

Requests run side by side under hard deadlines; what fails is tried again after a wait, and what
still fails comes back as a ``PolicyFailure``, which ends that episode alone and is never a
reward. The client's own retries are off: it neither retries answers that cannot be read nor
counts what it does. Reading answers is in ``srl_agents.policies.servers.answers``.
"""

from __future__ import annotations

import asyncio
import os
import random
import threading
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar
from urllib.parse import urlsplit

from srl_agents.policies.request_seeds import RequestSeeds
from srl_agents.policies.servers.answers import Answer, read_answer
from srl_agents.policies.servers.failures import (
    BadAnswer,
    LimitReached,
    RequestRefused,
    RequestTimeout,
    Retryable,
    read_error,
    unknown_field,
)
from srl_env.errors import BadOption, Failure, MissingExtra
from srl_env.policy import Generation, Sampling
from srl_env.seconds import check_seconds
from srl_env.text.prompt import Messages

T = TypeVar("T")

Api = Literal["chat", "completions"]
KEY_ENV = "OPENAI_API_KEY"
GIVE_UP_AFTER = 20
LONGEST_BACKOFF_S = 30.0


@dataclass(slots=True)
class Usage:
    """What a policy has asked for: requests sent, retries among them, prompts that failed for
    good, and the tokens and the cost (in the unit of the prices, 0 without) by the server's count.
    """

    requests: int = 0
    retries: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0


class OpenAIPolicy:
    """A model behind an OpenAI-compatible server.

    A generation is text; its token ids are empty unless the server gives them (vLLM, with
    ``extra_body={"return_token_ids": True}``). Log-probabilities are asked for at temperature 1,
    because servers give those from before the temperature. ``max_tokens``, ``temperature``,
    ``seed``, ``stop`` and log-probabilities are omitted, or renamed, once a server refuses them;
    ``notes`` says which.

    ``generate`` returns a ``PolicyFailure`` in the place of a generation that could not be had:
    RequestTimeout, ServerUnreachable, ServerError, RateLimited, BadAnswer, RequestRefused. It
    raises that failure where nothing was ever answered or 20 prompts in a row have failed;
    BadOption where the server does not take the key, the model, or any request; and LimitReached.
    """

    concurrent: ClassVar[bool] = True
    """Several threads may generate at the same time; they share the requests at once."""

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
        seed: int | None = None,
        extra_body: Mapping[str, Any] | None = None,
    ) -> None:
        """model: its name on the server. base_url: ends in "/v1"; OpenAI's if not given.

        api_key_env: the environment variable with the key, OPENAI_API_KEY for OpenAI; a key goes
        to another server only where it is named here. api: "completions" sends the contents of
        the messages one after the other, for models without a chat template. concurrency:
        requests at once. timeout_s: for one request, from sending to the last byte. retries: of
        a prompt. backoff_s: the first wait, which doubles; the server's Retry-After wins, and
        one above max_wait_s counts as a failure. max_requests, max_cost: allowed in all.
        prices: (prompt, completion) for a million tokens. seed: sent, a different one for each
        request. extra_body: further fields of every request.
        Raises MissingExtra without the package openai, BadOption for what cannot work.
        """
        _check_numbers(
            concurrency=concurrency,
            retries=retries,
            backoff_s=backoff_s,
            max_wait_s=max_wait_s,
            max_requests=max_requests,
            max_cost=max_cost,
            seed=seed,
        )
        _check_options(api, concurrency, timeout_s, retries, prices, max_cost)
        _check_place(model, base_url)
        self.model, self.api = model, api
        self.timeout_s, self.retries, self.backoff_s = timeout_s, retries, backoff_s
        self.max_wait_s, self.max_requests, self.max_cost = max_wait_s, max_requests, max_cost
        self.prices = tuple(prices) if prices else (0.0, 0.0)
        self.logprobs, self.extra_body = logprobs, dict(extra_body or {})
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
        """One generation, or the failure that kept it from being made, for each prompt."""
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
        """What the server refused, and what became of it; part of an evaluation's result."""
        return tuple(
            f"{self._server} refuses {name}: "
            + ("sent as max_completion_tokens" if name == "max_tokens" else "omitted")
            for name in sorted(self._unknown)
        )

    def close(self) -> None:
        """Ends the connections, as happens by itself when the policy is forgotten."""
        self._loop.close()

    async def _ask_all(
        self, prompts: Sequence[tuple[Messages, int | None]], sampling: Sampling
    ) -> list[Generation | Failure]:
        tasks = [asyncio.ensure_future(self._ask(m, sampling, seed)) for m, seed in prompts]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def _ask(
        self, messages: Messages, sampling: Sampling, seed: int | None
    ) -> Generation | Failure:
        """The answer to one prompt, asked for until it comes or the retries are spent."""
        attempt = 0
        while True:
            try:
                answer = await self._send(messages, sampling, seed, again=attempt > 0)
            except RequestRefused as refused:
                self.usage.failed += 1
                return refused
            except Retryable as trouble:
                wait_s = self._wait_s(trouble, attempt)
                if attempt == self.retries or wait_s > self.max_wait_s:
                    self.usage.failed += 1
                    self._in_a_row += 1
                    return trouble.failure
                attempt += 1
                await asyncio.sleep(wait_s)
            else:
                return self._succeeded(answer)

    async def _send(
        self, messages: Messages, sampling: Sampling, seed: int | None, again: bool
    ) -> Answer:
        """The answer to one request; once more, changed, where the server knew not all of it."""
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
        """The bytes of the server's answer; TimeoutError where the last one comes too late."""
        chat = self._client.chat.completions if self.api == "chat" else self._client.completions
        async with asyncio.timeout(self.timeout_s):
            response = await chat.with_raw_response.create(model=self.model, **fields)
            return bytes(response.content)

    def _fields(self, messages: Messages, sampling: Sampling, seed: int | None) -> dict[str, Any]:
        """The fields of a request, those left out that the server does not know."""
        prompt = {"prompt": "".join(message["content"] for message in messages)}
        fields: dict[str, Any] = {"messages": list(messages)} if self.api == "chat" else prompt
        limit = "max_completion_tokens" if "max_tokens" in self._unknown else "max_tokens"
        fields |= {"temperature": sampling.temperature, limit: sampling.max_tokens}
        if sampling.stop:
            fields["stop"] = list(sampling.stop)
        if self.logprobs and sampling.temperature == 1:
            fields["logprobs"] = True if self.api == "chat" else 0
        if seed is not None:
            fields["seed"] = seed
        known = {name: value for name, value in fields.items() if name not in self._unknown}
        return known | ({"extra_body": self.extra_body} if self.extra_body else {})

    def _dispensable(self, fields: Mapping[str, Any]) -> list[str]:
        return [name for name in _DISPENSABLE if name in fields]

    def _read(self, body: bytes, sampling: Sampling) -> Answer:
        """What the bytes of an answer say; raises as ``read_answer``."""
        return read_answer(body, sampling.stop)

    def _wait_s(self, trouble: Retryable, attempt: int) -> float:
        """How long to wait before the next attempt; a server's word holds for all requests."""
        if trouble.retry_after_s is not None:
            self._pause_until = max(self._pause_until, _now() + trouble.retry_after_s)
            return trouble.retry_after_s
        longest = min(self.backoff_s * 2.0**attempt, LONGEST_BACKOFF_S)
        return longest * random.uniform(0.5, 1.0)

    def _succeeded(self, answer: Answer) -> Generation:
        self._answered += 1
        self._in_a_row = 0
        counts = (answer.prompt_tokens, answer.completion_tokens)
        if self.max_cost is not None and not any(counts):
            raise BadOption(
                f"max_cost={self.max_cost:g} cannot be kept: {self._server} does not count tokens."
                " Give max_requests instead"
            )
        self.usage.prompt_tokens += counts[0]
        self.usage.completion_tokens += counts[1]
        cost = (count * price for count, price in zip(counts, self.prices, strict=True))
        self.usage.cost += sum(cost) / 1e6
        return answer.generation

    def _check_limits(self) -> None:
        """LimitReached where no further request is allowed."""
        for name, limit, spent in (
            ("max_requests", self.max_requests, self.usage.requests),
            ("max_cost", self.max_cost, self.usage.cost),
        ):
            if limit is not None and spent >= limit:
                raise LimitReached(
                    f"{name}={limit:g} is reached after {self.usage.requests} requests. Episodes "
                    "that were saved are kept; a resumed evaluation counts from 0"
                )


class _BackgroundLoop:
    """An event loop in a thread of its own, so that callers may have one or none."""

    def __init__(self, at_end: Callable[[], Awaitable[None]]) -> None:
        """at_end: awaited in the loop before it ends."""
        self._loop = asyncio.new_event_loop()
        thread = threading.Thread(target=self._loop.run_forever, name="openai", daemon=True)
        thread.start()
        self._end = weakref.finalize(self, _end_loop, self._loop, thread, at_end)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The coroutine's result; it is cancelled where the wait for it is interrupted."""
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


def _check_numbers(**options: object) -> None:
    for name, value in options.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise BadOption(f"{name} is a number; got {value!r}")


def _check_options(
    api: str,
    concurrency: int,
    timeout_s: float,
    retries: int,
    prices: Sequence[float] | None,
    max_cost: float | None,
) -> None:
    if api not in ("chat", "completions"):
        raise BadOption(f"api is 'chat' or 'completions'; got {api!r}")
    check_seconds("timeout_s", timeout_s)
    if concurrency < 1 or retries < 0:
        raise BadOption(
            f"concurrency is at least 1, retries at least 0; got {concurrency}, {retries}"
        )
    if prices is not None and (len(prices) != 2 or min(prices) < 0):
        raise BadOption(
            f"prices is (prompt, completion) for a million tokens, as (0.15, 0.6); got {prices}"
        )
    if max_cost is not None and not prices:
        raise BadOption("max_cost needs prices, as prices=(0.15, 0.6) for a million tokens")


def _check_place(model: str, base_url: str | None) -> None:
    if not model:
        raise BadOption("the model's name on the server is empty; give one, as openai:MODEL")
    if base_url is not None and not base_url.startswith(("http://", "https://")):
        raise BadOption(
            f"a base URL begins with http:// or https://, as http://localhost:8000/v1; got"
            f" {base_url!r}"
        )


def _find_key(base_url: str | None, api_key_env: str | None) -> str:
    """The key from the environment. Servers of one's own usually take any."""
    host = urlsplit(base_url or os.environ.get("OPENAI_BASE_URL") or "//api.openai.com").hostname
    openais = host is not None and f".{host}".endswith(".openai.com")
    if api_key_env is None and base_url and not openais:
        return "none"
    name = api_key_env or KEY_ENV
    if key := os.environ.get(name):
        return key
    raise BadOption(
        f"no API key: the environment variable {name} is not set. Set it, name another with "
        "api_key_env (--api-key-env), or give the base_url (--base-url) of a server without keys"
    )


def _make_client(key: str, base_url: str | None, timeout_s: float) -> Any:
    try:
        import openai
    except ImportError:
        raise MissingExtra("openai", "openai") from None
    return openai.AsyncOpenAI(api_key=key, base_url=base_url, timeout=timeout_s, max_retries=0)


def _nothing_works(failure: Failure) -> Exception:
    """What to raise where no request was ever answered."""
    if not isinstance(failure, RequestRefused):
        return failure
    advice = "check the model and its options"
    if "chat template" in str(failure):
        advice = 'for a model without one take api="completions"'
        advice += """ (--policy-kwargs '{"api": "completions"}')"""
    return BadOption(f"{str(failure).rstrip('.')}. No request was taken so far; {advice}")


def _now() -> float:
    """Seconds of the running event loop's clock."""
    return asyncio.get_running_loop().time()


_DISPENSABLE = ("logprobs", "seed", "stop", "max_tokens", "temperature")
