"""A teacher behind a vLLM server: log-probs of given tokens, from ids to numbers.

A request sends a prompt with its completion as token ids, and asks for the log-prob of each
(``prompt_logprobs``). The server samples one token, which is not used.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from srl_agents.nn.score import Continuation, States, TokenTree
from srl_agents.policies.servers.answers import Answer
from srl_agents.policies.servers.failures import BadAnswer, Retryable, read_error
from srl_agents.policies.servers.openai import OpenAIPolicy
from srl_env.errors import BadOption, Failure, SrlEnvError
from srl_env.policy import Generation, Sampling
from srl_env.text.prompt import Messages

_TIMEOUT_S = 600.0
_PROBED = 64  # ids of the vocabulary


class TeacherServer(OpenAIPolicy):
    """The log-probs of a served model, as ``Decoder.token_logprobs`` gives them.

    A completion whose request fails has NaN. Raises that failure if no request was ever answered,
    and after 20 in a row; see ``OpenAIPolicy``.
    """

    def __init__(
        self, url: str, tokenizer: Any, device: torch.device | None = None, concurrency: int = 64
    ) -> None:
        """url: as "http://localhost:8000". tokenizer: the policy's. device: of what is returned.

        Raises BadOption if no server answers, or if its model has another tokenizer.
        """
        self._root = url.rstrip("/").removesuffix("/v1")
        super().__init__(
            "the one there is",
            base_url=f"{self._root}/v1",
            api="completions",
            concurrency=concurrency,
            timeout_s=_TIMEOUT_S,
        )
        self.device = device or torch.device("cpu")
        self.model = self._served()
        self._check_tokenizer(tokenizer)

    def token_logprobs(
        self,
        prefixes: Sequence[Sequence[int]],
        continuations: Sequence[Continuation],
        temperature: float = 1.0,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As ``Decoder.token_logprobs``, at temperature 1; entropies are unknown, 0."""
        if temperature != 1:
            raise BadOption(f"a server scores at temperature 1; got {temperature:g}")
        prompts = [tuple(prefixes[c.prefix][: c.start]) for c in continuations]
        asked: list[Any] = [(*p, *c.ids) for p, c in zip(prompts, continuations, strict=True)]
        answers = self.generate(asked, Sampling(temperature=0.0, max_tokens=1))
        width = max(len(c.ids) for c in continuations)
        found = torch.zeros(len(continuations), width)
        mask = torch.zeros(len(continuations), width, dtype=torch.bool)
        for row, (each, answer) in enumerate(zip(continuations, answers, strict=True)):
            count = len(each.ids)
            mask[row, :count] = True
            values = [math.nan] * count if isinstance(answer, Failure) else answer.logprobs[-count:]
            found[row, :count] = torch.tensor(values[:count])
        return found.to(self.device), mask.to(self.device), torch.zeros_like(found)

    def states(self, tree: TokenTree) -> States:
        """Not possible: a server gives no distributions."""
        raise BadOption("a server gives log-probs of tokens only. Fix: set full_vocabulary = false")

    def _fields(self, messages: Messages, sampling: Sampling, seed: int | None) -> dict[str, Any]:
        ids: Any = messages
        return {
            "prompt": list(ids),
            "temperature": sampling.temperature,
            "max_tokens": sampling.max_tokens,
            "extra_body": {"prompt_logprobs": 0, "return_token_ids": True},
        }

    def _dispensable(self, fields: Mapping[str, Any]) -> list[str]:
        return []

    def _read(self, body: bytes, sampling: Sampling) -> Answer:
        data = json.loads(body)
        choice = (data.get("choices") or [{}])[0]
        ids = choice.get("prompt_token_ids") or data.get("prompt_token_ids")
        rows = choice.get("prompt_logprobs")
        if not isinstance(rows, list) or not rows:
            raise BadAnswer(f"{self._root} gave no prompt_logprobs; is it a vLLM server?")
        return Answer(Generation("", logprobs=tuple(_logprobs(rows, ids))), len(rows), 1)

    def _served(self) -> str:
        """The name of the served model."""
        names = self._route("GET", "/v1/models").get("data") or [{}]
        return str(names[0].get("id"))

    def _check_tokenizer(self, tokenizer: Any) -> None:
        """BadOption unless the server encodes a text of many tokens as the policy does."""
        text = probe_text(tokenizer)
        ours = tokenizer(text, add_special_tokens=False)["input_ids"]
        body = {"model": self.model, "prompt": text, "add_special_tokens": False}
        if self._route("POST", "/tokenize", body).get("tokens") != ours:
            raise BadOption(
                f"the teacher must have the tokenizer of model.path; {self.model!r} of {self._root}"
                " has another. Fix: serve a model of the same family"
            )

    def _route(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The answer of a route of the server, as JSON; BadOption without one."""
        try:
            return json.loads(self._loop.run(self._request(method, path, body)))
        except SrlEnvError:
            raise
        except Exception as error:  # of the client, of the loop, of JSON
            meaning = read_error(error, self._root)
            cause = meaning.failure if isinstance(meaning, Retryable) else meaning
            raise BadOption(
                f"the teacher's server {self._root}{path} gave no answer ({cause}). Fix: start it"
                " with: vllm serve MODEL"
            ) from error

    async def _request(self, method: str, path: str, body: Mapping[str, Any] | None) -> bytes:
        url = f"{self._root}{path}"
        async with asyncio.timeout(self.timeout_s):
            if method == "GET":
                return bytes(await self._client.get(url, cast_to=bytes))
            return bytes(await self._client.post(url, body=dict(body or {}), cast_to=bytes))


def probe_text(tokenizer: Any) -> str:
    """A text of tokens from all over the vocabulary."""
    size = len(tokenizer)
    every = range(0, size, max(1, size // _PROBED))
    return str(tokenizer.decode(list(every), skip_special_tokens=True))


def _logprobs(rows: Sequence[Any], ids: Sequence[int] | None) -> list[float]:
    """The log-prob of each token of the prompt; the first has none, 0.

    rows: {id: {"logprob": …}} for each token, None for the first. ids: the prompt's, if the server
    returns them: a row may also hold the likeliest token.
    """
    found = []
    for number, row in enumerate(rows):
        if row is None:
            found.append(0.0)
            continue
        entry = row.get(str(ids[number])) if ids else next(iter(row.values()), None)
        if entry is None:
            raise BadAnswer(f"no log-prob of token {number} in prompt_logprobs")
        found.append(float(entry["logprob"]))
    return found
