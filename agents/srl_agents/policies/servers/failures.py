"""What can keep a model behind a server from answering, and which of it may pass by itself.

Kinds of ``PolicyFailure`` and the reading of the ``openai`` client's errors; no requests.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from srl_env.errors import BadOption, PolicyFailure, PromptRefused, UserError


class RequestTimeout(PolicyFailure):
    """A server did not answer in time, however often it was asked."""


class ServerUnreachable(PolicyFailure):
    """No connection to a server, or one that broke."""


class ServerError(PolicyFailure):
    """A server answered that it failed (5xx)."""


class RateLimited(PolicyFailure):
    """A server would not take the request yet (429), or not for longer than we wait."""


class BadAnswer(PolicyFailure):
    """A server answered with something that is no completion."""


class RequestRefused(PromptRefused):
    """A server refused one prompt, as when it is too long, or withheld the text for it."""


class LimitReached(UserError):
    """The requests or the money that were allowed are spent."""


class MayPass(Exception):
    """A request failed in a way that another one may not; carries the ``failure`` it would be."""

    def __init__(self, failure: PolicyFailure, retry_after_s: float | None = None) -> None:
        """retry_after_s: how long the server wants to be left alone, where it says so."""
        super().__init__(str(failure))
        self.failure, self.retry_after_s = failure, retry_after_s


def read_error(error: Exception, server: str) -> Exception:
    """What an exception of the client means: what to raise in its place.

    MayPass (no connection, time-out, 408, 409, 429, 5xx), BadOption (401, 403, 404, an empty
    account), RequestRefused (other answers), or the error itself where it is not the client's.
    server: as it is called in messages.
    """
    import openai

    if isinstance(error, openai.APITimeoutError):
        return MayPass(RequestTimeout(f"{server} did not answer in time"))
    if isinstance(error, openai.APIConnectionError):
        cause = error.__cause__ or error
        said = f"{server} cannot be reached: {type(cause).__name__}: {cause}"
        return MayPass(ServerUnreachable(said))
    if not isinstance(error, openai.APIStatusError):
        return error
    status, said = error.status_code, f"{server} answered {error.status_code}: {message_of(error)}"
    if status in (401, 403, 404) or error.code in _NEVER_HEALS:
        check = "Check the key, the model's name and the base URL, which usually ends in /v1"
        return BadOption(f"{said.rstrip('.')}. {check}")
    if status == 429:
        return MayPass(RateLimited(said), retry_after_s(error.response.headers))
    if status >= 500 or status in (408, 409):
        return MayPass(ServerError(said), retry_after_s(error.response.headers))
    return RequestRefused(said)


def unknown_field(error: Exception, fields: Iterable[str]) -> str | None:
    """Which of the fields of a request a server says it does not take; None if none."""
    body, said = getattr(error, "body", None), message_of(error).lower()
    details = body if isinstance(body, dict) else {}
    refused = str(details.get("code")).startswith("unsupported_")
    if not refused and not any(words in said for words in _UNKNOWN):
        return None
    named = details.get("param")
    return next((name for name in fields if name == named or name in said), None)


def message_of(error: Any) -> str:
    """What the server said, shortened."""
    body = getattr(error, "body", None)
    said = body.get("message") or body.get("detail") if isinstance(body, dict) else None
    text = str(said or error)
    return text if len(text) <= 300 else text[:300] + " …"


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """The wait that Retry-After asks for, in seconds or as a date; None if it cannot be read."""
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
