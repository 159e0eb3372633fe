"""Failures of a model behind a server, read from the errors of the ``openai`` client."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from srl_env.errors import BadOption, PolicyFailure, PromptRefused


class RequestTimeout(PolicyFailure):
    """A server did not answer in time, in any attempt.

    It is an infrastructure failure even if the same prompt always causes it: ``max_tokens`` limits
    what the policy can write, and how long that takes depends on the server.
    """


class ServerUnreachable(PolicyFailure):
    """No connection to a server, or a broken one."""


class ServerError(PolicyFailure):
    """A server reported an error of its own (5xx)."""


class RateLimited(PolicyFailure):
    """A server asked to wait (429), repeatedly or for too long."""


class BadAnswer(PolicyFailure):
    """A server's answer contains no completion."""


class RequestRefused(PromptRefused):
    """A server refused one prompt, for example because it is too long."""


class Retryable(Exception):
    """A request failed, and a retry may succeed; holds the ``failure`` to report if none does."""

    def __init__(self, failure: PolicyFailure, retry_after_s: float | None = None) -> None:
        """retry_after_s: the wait that the server asks for, if it does."""
        super().__init__(str(failure))
        self.failure, self.retry_after_s = failure, retry_after_s


def read_error(error: Exception, server: str) -> Exception:
    """What to raise instead of an exception of the client.

    Retryable (no connection, time-out, 408, 409, 429, 5xx), BadOption (401, 403, 404, an empty
    account), RequestRefused (other answers), or the error itself if it is not the client's.
    server: its name in messages.
    """
    import openai

    if isinstance(error, openai.APITimeoutError):
        return Retryable(RequestTimeout(f"{server} did not answer in time"))
    if isinstance(error, openai.APIConnectionError):
        cause = error.__cause__ or error
        said = f"{server} cannot be reached: {type(cause).__name__}: {cause}"
        return Retryable(ServerUnreachable(said))
    if not isinstance(error, openai.APIStatusError):
        return error
    status, said = error.status_code, f"{server} answered {error.status_code}: {message_of(error)}"
    if status in (401, 403, 404) or error.code in _NEVER_HEALS:
        check = "Check the key, the model's name and the base URL, which usually ends in /v1"
        return BadOption(f"{said.rstrip('.')}. {check}")
    if status == 429:
        return Retryable(RateLimited(said), retry_after_s(error.response.headers))
    if status >= 500 or status in (408, 409):
        return Retryable(ServerError(said), retry_after_s(error.response.headers))
    return RequestRefused(said)


def unknown_field(error: Exception, fields: Iterable[str]) -> str | None:
    """The field of a request that the server does not support; None if it names none."""
    body, said = getattr(error, "body", None), message_of(error).lower()
    details = body if isinstance(body, dict) else {}
    refused = str(details.get("code")).startswith("unsupported_")
    if not refused and not any(words in said for words in _UNKNOWN):
        return None
    named = details.get("param")
    return next((name for name in fields if name == named or name in said), None)


def message_of(error: Any) -> str:
    """The server's message, shortened."""
    body = getattr(error, "body", None)
    said = body.get("message") or body.get("detail") if isinstance(body, dict) else None
    text = str(said or error)
    return text if len(text) <= 300 else text[:300] + " …"


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """The wait in Retry-After, in seconds or as a date; None if it is not readable."""
    value = headers.get("retry-after", "")
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except (TypeError, ValueError, OverflowError):
            return None
    return max(0.0, seconds) if seconds == seconds else None


_NEVER_HEALS = ("insufficient_quota", "billing_hard_limit_reached", "model_not_found")
_UNKNOWN = (
    "unsupported", "not support", "unrecogni", "unknown", "not permitted", "not allowed",
    "only the default", "must be 1", "deprecated", "unexpected keyword",
)  # fmt: skip
