"""Reads the answers of OpenAI-compatible servers: JSON in, ``Answer`` out; no requests.

Servers omit fields, send null, and stop in the middle. An answer without a usable completion is a
``BadAnswer``. Malformed extras (usage, log-probabilities, token ids) are ignored.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from srl_agents.policies.servers.failures import BadAnswer
from srl_env.policy import FinishReason, Generation
from srl_env.text.stops import find_stop
from srl_env.text.tools import call_text

UNFINISHED = frozenset({"error", "abort", "aborted", "cancel", "cancelled", "canceled", "timeout"})
"""Values of ``finish_reason`` of a completion that the server gave up."""

_TRUNCATED = ("length", "content_filter")
# A content filter stops a completion because of what the policy wrote, so the policy is
# responsible: what was delivered is its completion. A filtered prompt is an error of the server.

_STOPPED_AT = ("stop_reason", "matched_stop", "stopping_word", "stop_sequence")
# where vLLM, SGLang, llama.cpp and others name the stop string that ended a completion


@dataclass(frozen=True, slots=True)
class Answer:
    """A completion, and the tokens the server counted for it (0 where it does not say)."""

    generation: Generation
    prompt_tokens: int
    completion_tokens: int


def read_answer(body: bytes, stop: Sequence[str]) -> Answer:
    """The first choice of a chat completion or a completion.

    Reasoning that the server separated is put back between <think> tags. Native tool calls follow
    the text, each as JSON between <tool_call> tags. The text ends with the stop string that the
    server names. A text that a content filter withheld is truncated, possibly empty.
    Raises BadAnswer for anything else, and for an unfinished completion (``UNFINISHED``).
    """
    data = _json(body)
    choices = data.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise BadAnswer(f"no choices in the answer: {_shown(data)}")
    choice = choices[0]
    reason = _reason(choice.get("finish_reason"))
    if reason in UNFINISHED:
        raise BadAnswer(f"the server did not finish the completion (finish_reason {reason!r})")
    finish: FinishReason = "length" if reason in _TRUNCATED else "stop"
    text = _text(choice, finish)
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


def _reason(finish: Any) -> str | None:
    """Why a completion ended; some servers send {"type": "stop"}."""
    named = finish.get("type") if isinstance(finish, dict) else finish
    return named if isinstance(named, str) else None


def _json(body: bytes) -> Mapping[str, Any]:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        shown = body[:200].decode("utf-8", "replace")
        raise BadAnswer(f"the answer is not JSON ({error}): {shown!r}") from error
    if not isinstance(data, dict):
        raise BadAnswer(f"the answer is not a JSON object: {_shown(data)}")
    return data


def _text(choice: Mapping[str, Any], finish: FinishReason) -> str:
    """The text of a completion or a chat message; "" if all tokens were reasoning."""
    message = choice.get("message")
    if not isinstance(message, dict):
        text = choice.get("text")
        if not isinstance(text, str):
            raise BadAnswer(f"neither a message nor a text in the choice: {_shown(choice)}")
        return text
    calls = _tool_calls(message)
    content = _content(message.get("content"))
    if content is None:
        content = message.get("refusal")
    thoughts = [message.get(name) for name in ("reasoning_content", "reasoning")]
    thinking = thoughts[0] or thoughts[1]
    said_nothing = any(isinstance(thought, str) for thought in thoughts)
    if content is None and (said_nothing or calls or finish == "length"):
        content = ""
    if not isinstance(content, str):
        raise BadAnswer(f"the message's content is not a text: {_shown(message)}")
    said = "\n".join(part for part in (content, *calls) if part)
    if isinstance(thinking, str) and (thinking or said) and "</think>" not in content:
        return f"<think>{thinking}</think>\n{said}" if said else f"<think>{thinking}"
    return said


def _content(content: Any) -> Any:
    """A message's content; the texts of a list of text parts are joined."""
    if not isinstance(content, list):
        return content
    found = [part.get("text") for part in content if isinstance(part, dict)]
    texts = [text for text in found if isinstance(text, str)]
    return "".join(texts) if len(texts) == len(content) else content


def _tool_calls(message: Mapping[str, Any]) -> list[str]:
    """Native tool calls as chat templates write them. Arguments that are not JSON stay text."""
    calls = message.get("tool_calls")
    if calls is None and message.get("function_call") is not None:
        calls = [{"function": message["function_call"]}]
    if calls is not None and not isinstance(calls, list):
        raise BadAnswer(f"the message's tool_calls are not a list: {_shown(message)}")
    return [_tool_call(call) for call in calls or ()]


def _tool_call(call: Any) -> str:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise BadAnswer(f"a tool call without a function's name: {_shown(call)}")
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        with suppress(ValueError, RecursionError):
            arguments = json.loads(arguments or "{}")
    return call_text(function["name"], {} if arguments is None else arguments)


def _stopped(text: str, choice: Mapping[str, Any], stop: Sequence[str]) -> str:
    """The text up to and with its stop string, which most servers remove.

    It is put back only if the server names it; a model that ended its turn never wrote one.
    """
    end = find_stop(text, stop)
    if end is not None:
        return text[:end]
    named = next((choice[name] for name in _STOPPED_AT if name in choice), None)
    return text + named if isinstance(named, str) and named in stop else text


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
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and abs(value) <= sys.float_info.max


def _ids(values: Any) -> tuple[int, ...]:
    """Token ids, from servers that give them; () unless all are ids."""
    if not isinstance(values, list) or not all(type(v) is int and v >= 0 for v in values):
        return ()
    return tuple(values)


def _usage(data: Mapping[str, Any]) -> tuple[int, int]:
    usage = data.get("usage")
    counts = usage if isinstance(usage, dict) else {}
    values = [counts.get(name) for name in ("prompt_tokens", "completion_tokens")]
    prompt, completion = (v if type(v) is int and v >= 0 else 0 for v in values)
    return prompt, completion


def _shown(data: Any) -> str:
    """The beginning of the data, for a message."""
    text = json.dumps(data, default=str)
    return text if len(text) <= 200 else text[:200] + " …"
