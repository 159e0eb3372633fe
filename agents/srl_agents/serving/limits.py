"""What clients may use of a server."""

from __future__ import annotations

from dataclasses import dataclass, fields

from srl_env.errors import BadOption
from srl_env.seconds import check_seconds


@dataclass(frozen=True, slots=True)
class Limits:
    """What clients may use of a server.

    max_sessions: Sessions at a time; each has an environment of its own.
    request_bytes: Largest request or message, in bytes.
    request_s: Seconds for a client to send a request, and to take an answer.
    idle_s: Seconds without a request after which a session ends.
    session_s: Seconds after which a session ends, between two requests.
    stop_s: Seconds for the steps in progress when the server is stopped.
    """

    max_sessions: int = 32
    request_bytes: int = 1_000_000
    request_s: float = 30.0
    idle_s: float = 600.0
    session_s: float = 7200.0
    stop_s: float = 60.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name.endswith("_s"):
                check_seconds(field.name, value)
            elif not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise BadOption(f"{field.name} must be a whole number, at least 1; got {value!r}")
