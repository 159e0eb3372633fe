"""What an OpenAI-compatible server answered, read with distrust: JSON in, ``Answer`` out.

Pure functions; requests and retries are in ``srl_agents.policies.servers.openai``. Servers leave
fields out, send null, and break off in the middle; whatever has no usable completion in it is
a ``BadAnswer``. What is only extra (usage, log-probabilities, token ids) is dropped where it
is not as it should be.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from srl_agents.policies.servers.failures import BadAnswer, RequestRefused
from srl_env.policy import FinishReason, Generation

UNFINISHED = frozenset({"error", "abort", "aborted", "cancel", "cancelled", "canceled", "timeout"})
"""Values of ``finish_reason`` of a completion that the server gave up."""

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

    Thinking that the server took out of the text is put back between <think> tags, where the
    text has none. Native tool calls follow the text, each as JSON between <tool_call> tags. The
    text ends with the stop string that the server says ended it.
    Raises BadAnswer for anything that is not one of the two, and for a completion that the server
    did not finish (``UNFINISHED``); RequestRefused where the text was withheld.
    """
    data = _json(body)
    choices = data.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise BadAnswer(f"no choices in the answer: {_shown(data)}")
    choice = choices[0]
    reason = _reason(choice.get("finish_reason"))
    if reason == "content_filter":
        raise RequestRefused("the server withheld the text (finish_reason 'content_filter')")
    if reason in UNFINISHED:
        raise BadAnswer(f"the server did not finish the completion (finish_reason {reason!r})")
    finish: FinishReason = "length" if reason == "length" else "stop"
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


def _reason(finish: Any) -> str | None:
    """Why a completion ended; some servers say it as {"type": "stop"}."""
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


def _text(choice: Mapping[str, Any]) -> str:
    """The text of a completion or a chat message; "" where all tokens went into thinking."""
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
    said_nothing = any(isinstance(thought, str) for thought in thoughts)  # "": it stopped at once
    if content is None and (said_nothing or calls or choice.get("finish_reason") == "length"):
        content = ""
    if not isinstance(content, str):
        raise BadAnswer(f"the message's content is not a text: {_shown(message)}")
    said = "\n".join(part for part in (content, *calls) if part)
    if isinstance(thinking, str) and (thinking or said) and "</think>" not in content:
        return f"<think>{thinking}</think>\n{said}" if said else f"<think>{thinking}"
    return said


def _content(content: Any) -> Any:
    """A message's content; a list of text parts as their texts, one after the other."""
    if not isinstance(content, list):
        return content
    found = [part.get("text") for part in content if isinstance(part, dict)]
    texts = [text for text in found if isinstance(text, str)]
    return "".join(texts) if len(texts) == len(content) else content


def _tool_calls(message: Mapping[str, Any]) -> list[str]:
    """Native tool calls as text, as chat templates write them; arguments that are JSON in a text
    become JSON, others stay the text that they are."""
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
    shown = {"name": function["name"], "arguments": {} if arguments is None else arguments}
    text = json.dumps(shown, ensure_ascii=False).replace("<", "\\u003c")
    return f"<tool_call>\n{text}\n</tool_call>"


def _stopped(text: str, choice: Mapping[str, Any], stop: Sequence[str]) -> str:
    """The text up to and with its stop string, which servers usually take away.

    It is put back only where the server names it; elsewhere a model that ended its turn would
    be given a stop string that it never wrote.
    """
    ends = [text.find(s) + len(s) for s in stop if s and s in text]
    if ends:
        return text[: min(ends)]
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
    prompt, completion = counts.get("prompt_tokens"), counts.get("completion_tokens")
    return _count(prompt), _count(completion)


def _count(value: Any) -> int:
    return value if type(value) is int and value >= 0 else 0


def _shown(data: Any) -> str:
    """The beginning of the data, for a message."""
    text = json.dumps(data, default=str)
    return text if len(text) <= 200 else text[:200] + " …"
