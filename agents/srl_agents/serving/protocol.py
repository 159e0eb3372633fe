"""OpenEnv's messages: a session's answer to each, as data. No network here.

A client sends ``{"type": "reset" | "step" | "state" | "close", "data": {…}}`` and gets
``{"type": "observation" | "state" | "error", "data": {…}}``. The data of a reset are a seed and
reset options. The data of a step are a completion, ``{"text": "…"}``, or a call of a tool,
``{"type": "call_tool", "tool_name": "…", "arguments": {…}}``; ``{"type": "list_tools"}`` takes no
step. Source: openenv-core 0.3 (``openenv.core.env_server``).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final

from gymnasium.error import ResetNeeded

from srl_agents.serving.episodes import ServedEpisodes, Shown
from srl_env.episode.options import OPTIONS
from srl_env.errors import BadOption, UserError
from srl_env.text.format import CompletionFormat

VERSION: Final = "1.0.0"
"""The version of OpenEnv's interface over HTTP, as its servers state it."""

INVALID_JSON, UNKNOWN_TYPE = "INVALID_JSON", "UNKNOWN_TYPE"
INVALID, FAILED = "VALIDATION_ERROR", "EXECUTION_ERROR"
FULL, NOT_MADE = "CAPACITY_REACHED", "FACTORY_ERROR"

Reply = dict[str, Any]


def answer(episodes: ServedEpisodes, text: str) -> Reply | None:
    """The answer to a message; None for "close".

    Anything that is wrong with the message, or with its time, is an answer of the type "error".
    Raises what the environment's own code raises.
    """
    try:
        message = json.loads(text)
    except (ValueError, RecursionError) as problem:
        return error(INVALID_JSON, f"a message must be JSON; got {type(problem).__name__}")
    kind = message.get("type") if isinstance(message, dict) else None
    if kind == "close":
        return None
    try:
        return _answered(episodes, kind, message)
    except UserError as problem:
        return error(INVALID, str(problem))
    except ResetNeeded as problem:
        return error(FAILED, str(problem))


def error(code: str, message: str, **details: Any) -> Reply:
    """An answer of the type "error"."""
    return {"type": "error", "data": {"message": message, "code": code, **details}}


def _answered(episodes: ServedEpisodes, kind: object, message: Any) -> Reply:
    if kind == "state":
        return {"type": "state", "data": episodes.state()}
    if kind not in ("reset", "step"):
        return error(UNKNOWN_TYPE, f"type must be reset, step, state or close; got {kind!r:.80}")
    data = message.get("data", {})
    if not isinstance(data, dict):
        raise BadOption(f"data must be a JSON object; got {type(data).__name__}")
    made = reset(episodes, data) if kind == "reset" else _step(episodes, data)
    return {"type": "observation", "data": made}


def reset(episodes: ServedEpisodes, data: Mapping[str, Any]) -> Reply:
    """The first observation of an episode.

    Raises ``UserError`` for wrong options.
    """
    options = {name: value for name, value in data.items() if name in OPTIONS}
    rest = data.keys() - options.keys() - {"seed", "episode_id"}
    if rest:
        known = ", ".join(("seed", "episode_id", *OPTIONS))
        raise BadOption(f"a reset takes {known}; got {min(rest)!r:.80}")
    episode_id = data.get("episode_id")
    if not (episode_id is None or (isinstance(episode_id, str) and len(episode_id) <= 255)):
        raise BadOption("episode_id must be a text of at most 255 characters")
    return observed(episodes.reset(data.get("seed"), options, episode_id))


def _step(episodes: ServedEpisodes, action: Mapping[str, Any]) -> Reply:
    kind = action.get("type")
    if kind == "list_tools":
        return {"observation": {"tools": episodes.tools()}, "reward": None, "done": False}
    if kind == "call_tool":
        name, arguments = action.get("tool_name"), action.get("arguments", {})
        if not isinstance(name, str) or not isinstance(arguments, dict):
            raise BadOption("call_tool needs a tool_name and arguments, a JSON object")
        shown = episodes.call(name, arguments)
        made = observed(shown)
        made["observation"] |= {"tool_name": name, "result": shown.text, "error": None}
        return made
    text = action.get("text")
    if not isinstance(text, str):
        raise BadOption(f"an action must be {{'text': '…'}}; got {sorted(action)!r:.80}")
    return observed(episodes.step(text))


def observed(shown: Shown) -> Reply:
    """An observation as OpenEnv sends it: rewards that are not numbers are null."""
    return {
        "observation": {
            "text": shown.text,
            "messages": shown.messages,
            "terminated": shown.terminated,
            "truncated": shown.truncated,
            "failure": shown.failure,
            "info": finite(shown.info),
        },
        "reward": finite(shown.reward),
        "done": shown.done,
    }


def finite(value: Any) -> Any:
    """JSON-like data, with None for numbers that JSON does not have."""
    if isinstance(value, Mapping):
        return {str(name): finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


OBSERVATION_SCHEMA: Final[Mapping[str, Any]] = {
    "title": "Observation",
    "type": "object",
    "properties": {
        "text": {"type": "string", "description": "What is new: the problem, or the answer."},
        "messages": {"type": "array", "description": "The whole prompt as chat messages."},
        "terminated": {"type": "boolean"},
        "truncated": {"type": "boolean"},
        "failure": {"description": "An infrastructure failure: type and message, or null."},
        "info": {"type": "object", "description": "As srl_env.ReasoningEnv returns it."},
    },
    "required": ["text", "messages"],
}
STATE_SCHEMA: Final[Mapping[str, Any]] = {
    "title": "State",
    "type": "object",
    "properties": {
        "episode_id": {"type": ["string", "null"]},
        "step_count": {"type": "integer"},
    },
}


def schemas(format: CompletionFormat) -> dict[str, Any]:
    """The JSON schemas of actions, observations and states.

    "x-stop" and "x-thoughts" are for policies: the strings that end a step, and whether a thought
    may come first.
    """
    text = {
        "type": "string",
        "description": "The policy's completion.",
        "x-stop": list(format.stop),
        "x-thoughts": bool(getattr(format, "thoughts", False)),
    }
    action = {
        "title": "Completion",
        "type": "object",
        "properties": {"text": text},
        "required": ["text"],
    }
    return {"action": action, "observation": OBSERVATION_SCHEMA, "state": STATE_SCHEMA}


def openapi(name: str, paths: Mapping[str, str]) -> dict[str, Any]:
    """The OpenAPI document of a server; paths: {path: HTTP method}."""
    answer = {"responses": {"200": {"description": "The answer, as JSON."}}}
    return {
        "openapi": "3.1.0",
        "info": {"title": f"{name} (OpenEnv)", "version": VERSION},
        "paths": {path: {method: answer} for path, method in paths.items()},
    }
