"""What an OpenAI-compatible server answered, read with distrust: JSON in, ``Answer`` out.

Pure functions; requests and retries are in ``srl_agents.policies.openai``. Servers leave
fields out, send null, and break off in the middle; whatever has no usable completion in it is
a ``BadAnswer``. What is only extra (usage, log-probabilities, token ids) is dropped where it
is not as it should be.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from srl_agents.policies.server_failures import BadAnswer, RequestRefused
from srl_env.policy import FinishReason, Generation


@dataclass(frozen=True, slots=True)
class Answer:
    """A completion, and the tokens the server counted for it (0 where it does not say)."""

    generation: Generation
    prompt_tokens: int
    completion_tokens: int


def read_answer(body: bytes, stop: Sequence[str]) -> Answer:
    """The first choice of a chat completion or a completion.

    Thinking that the server took out of the text is put back between <think> tags, where the
    text has none. The text ends with the stop string that ended it: the one the server names
    in ``stop_reason``, or, where it does not name any, the only one there is.
    Raises BadAnswer for anything that is not one of the two, RequestRefused where the text was
    withheld.
    """
    data = _json(body)
    choices = data.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise BadAnswer(f"no choices in the answer: {_shown(data)}")
    choice = choices[0]
    if choice.get("finish_reason") == "content_filter":
        raise RequestRefused("the server withheld the text (finish_reason 'content_filter')")
    finish: FinishReason = "length" if choice.get("finish_reason") == "length" else "stop"
    text = _text(choice)
    return Answer(
        Generation(
            text=text if finish == "length" else _stopped(text, choice, stop),
            token_ids=_ids(choice.get("token_ids")),
            logprobs=_logprobs(choice),
            prompt_ids=_ids(choice.get("prompt_token_ids") or data.get("prompt_token_ids")),
            finish_reason=finish,
        ),
        *_usage(data),
    )


def _json(body: bytes) -> Mapping[str, Any]:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        shown = body[:200].decode("utf-8", "replace")
        raise BadAnswer(f"the answer is not JSON ({error}): {shown!r}") from error
    if not isinstance(data, dict):
        raise BadAnswer(f"the answer is not a JSON object: {_shown(data)}")
    return data


def _text(choice: Mapping[str, Any]) -> str:
    """The text of a completion or a chat message; "" where all tokens went into thinking."""
    message = choice.get("message")
    if not isinstance(message, dict):
        text = choice.get("text")
        if not isinstance(text, str):
            raise BadAnswer(f"neither a message nor a text in the choice: {_shown(choice)}")
        return text
    content = message.get("content")
    if content is None:
        content = message.get("refusal")
    thinking = message.get("reasoning_content") or message.get("reasoning")
    if content is None and (thinking or choice.get("finish_reason") == "length"):
        content = ""
    if not isinstance(content, str):
        raise BadAnswer(f"the message's content is not a text: {_shown(message)}")
    if isinstance(thinking, str) and "</think>" not in content:
        return f"<think>{thinking}</think>\n{content}" if content else f"<think>{thinking}"
    return content


def _stopped(text: str, choice: Mapping[str, Any], stop: Sequence[str]) -> str:
    """The text up to and with its stop string, which servers usually take away."""
    ends = [text.find(s) + len(s) for s in stop if s and s in text]
    if ends:
        return text[: min(ends)]
    if "stop_reason" in choice:
        reason = choice["stop_reason"]
        return text + reason if isinstance(reason, str) and reason in stop else text
    return text + stop[0] if len(stop) == 1 else text


def _logprobs(choice: Mapping[str, Any]) -> tuple[float, ...]:
    """One number for each token, () unless all are there."""
    found = choice.get("logprobs")
    if not isinstance(found, dict):
        return ()
    values = found.get("token_logprobs")
    if values is None and isinstance(found.get("content"), list):
        values = [row.get("logprob") for row in found["content"] if isinstance(row, dict)]
    if not isinstance(values, list) or not all(_is_logprob(value) for value in values):
        return ()
    return tuple(float(value) for value in values)


def _is_logprob(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _ids(values: Any) -> tuple[int, ...]:
    """Token ids, from servers that give them; () unless all are ids."""
    if not isinstance(values, list) or not all(type(v) is int and v >= 0 for v in values):
        return ()
    return tuple(values)


def _usage(data: Mapping[str, Any]) -> tuple[int, int]:
    usage = data.get("usage")
    counts = usage if isinstance(usage, dict) else {}
    prompt, completion = counts.get("prompt_tokens"), counts.get("completion_tokens")
    return _count(prompt), _count(completion)


def _count(value: Any) -> int:
    return value if type(value) is int and value >= 0 else 0


def _shown(data: Any) -> str:
    """The beginning of the data, for a message."""
    text = json.dumps(data, default=str)
    return text if len(text) <= 200 else text[:200] + " …"
