"""A session on an OpenEnv server: messages there and back, and failures by their kind."""

from __future__ import annotations

import functools
import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from srl_env.errors import BadOption, Failure, WorldFailure, WorldTimeout
from srl_env.lazy import optional_import

VERSION: Final = "1."
"""How the version of OpenEnv's interface over HTTP begins that is spoken here."""
MOST_BYTES: Final = 64 * 1024 * 1024
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


class WorldUnreachable(WorldFailure):
    """A world's server cannot be reached, has no free session, or closed the connection."""


class ReportedFailure(Failure):
    """A server reported an infrastructure failure of its own; it has decided who is responsible."""


class Refused(WorldFailure):
    """A server answered a message with an error."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server's address, and how to talk to it. token_env: variable that holds the token."""

    url: str
    token_env: str | None = None
    timeout_s: float = 60.0

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            good = parts.scheme in ("http", "https", "ws", "wss") and parts.port != 0
        except ValueError:
            good = False
        if not (good and parts.hostname):
            raise BadOption(
                f"url must be the address of an OpenEnv server, as http://localhost:8000; got"
                f" {self.url!r}"
            )
        if self.token_env is not None and not os.environ.get(self.token_env):
            raise BadOption(
                f"token_env must name an environment variable that is set; got {self.token_env!r}"
            )

    @property
    def headers(self) -> dict[str, str]:
        """The headers of every request."""
        if self.token_env is None:
            return {}
        return {"Authorization": f"Bearer {os.environ[self.token_env]}"}

    @property
    def nearby(self) -> bool:
        """Whether it is on this machine, so that no proxy is asked."""
        return urlsplit(self.url).hostname in _LOOPBACK

    def address(self, scheme: str, path: str) -> str:
        """The address of a path; scheme: "http" or "ws"."""
        given, _, rest = self.url.rstrip("/").partition("://")
        return f"{scheme}{'s' if given in ('https', 'wss') else ''}://{rest}{path}"


@functools.lru_cache(maxsize=64)
def describe(server: Server) -> Mapping[str, Any]:
    """The server's schemas of actions and observations, asked for once in a process.

    Raises ``BadOption`` for a server that cannot be reached, wants another token, or does not speak
    this protocol.
    """
    stated = (_get(server, "/openapi.json", needed=False) or {}).get("info", {}).get("version")
    if isinstance(stated, str) and not stated.startswith(VERSION):
        raise BadOption(
            f"{server.url}: the protocol's version must be {VERSION}x; got {stated!r:.40}. Fix: a"
            " version of srl-env or of the server that fits"
        )
    schemas = _get(server, "/schema")
    if not isinstance(schemas, dict) or not isinstance(schemas.get("action"), dict):
        raise BadOption(f"{server.url} must be an OpenEnv server; its /schema has no actions")
    return schemas


def _get(server: Server, path: str, needed: bool = True) -> Any:
    """The JSON at a path; None where it is not needed and not there."""
    request = urllib.request.Request(server.address("http", path), headers=server.headers)
    proxies = [urllib.request.ProxyHandler({})] if server.nearby else []
    try:
        with urllib.request.build_opener(*proxies).open(
            request, timeout=server.timeout_s
        ) as answer:
            return json.loads(answer.read(MOST_BYTES))
    except urllib.error.HTTPError as problem:
        problem.close()
        if problem.code in (401, 403):
            raise BadOption(_about_token(server)) from None
        if not needed:
            return None
        raise BadOption(
            f"{server.url} must be an OpenEnv server; its {path} answers {problem.code}"
        ) from None
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "reason", problem)
        raise BadOption(
            f"{server.url} must be a running OpenEnv server; got no answer"
            f" ({getattr(reason, 'strerror', None) or reason!s:.100}). Fix: start it, as with"
            " srl-env serve ID, or check the address"
        ) from None


def _about_token(server: Server) -> str:
    return (
        f"{server.url} needs a token, and got {'another' if server.token_env else 'none'}. Fix: put"
        " it into an environment variable, and name that as token_env"
    )


class Connection:
    """One session, opened with the first message and again after it broke."""

    def __init__(self, server: Server) -> None:
        with optional_import("serve", "websockets"):
            import websockets.sync.client
        self._connect: Any = websockets.sync.client.connect
        self.server = server
        self._socket: Any = None
        self._ending = ExitStack()

    def ask(self, kind: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """The data of the answer to a message.

        Raises ``WorldUnreachable``, ``WorldTimeout`` or ``Refused``, and ``BadOption`` for a wrong
        token. After a failure the session is closed.
        """
        try:
            return self._asked(json.dumps({"type": kind, "data": dict(data)}))
        except BaseException:  # whatever it was, the next answer would be to another message
            self.close()
            raise

    def close(self) -> None:
        """Ends the session."""
        opened, self._socket = self._socket, None
        ending, self._ending = self._ending, ExitStack()
        if opened is not None:
            with suppress(Exception):
                opened.send('{"type": "close"}')
        with suppress(Exception):
            ending.close()

    def _asked(self, message: str) -> Mapping[str, Any]:
        from websockets.exceptions import ConnectionClosed

        url = self.server.url
        try:
            if self._socket is None:
                self._socket = self._opened()
            self._socket.send(message)
            raw = self._socket.recv(timeout=self.server.timeout_s)
        except TimeoutError as problem:
            raise WorldTimeout(
                f"{url} had no answer within {self.server.timeout_s:g} s"
            ) from problem
        except (ConnectionClosed, OSError) as problem:
            raise WorldUnreachable(f"{url} closed the connection: {problem!s:.200}") from problem
        return _read(raw, url)

    def _opened(self) -> Any:
        from websockets.exceptions import InvalidHandshake, InvalidStatus

        server = self.server
        try:
            return self._ending.enter_context(
                self._connect(
                    server.address("ws", "/ws"),
                    additional_headers=server.headers,
                    open_timeout=server.timeout_s,
                    close_timeout=2.0,
                    max_size=MOST_BYTES,
                    compression=None,
                    **({"proxy": None} if server.nearby else {}),
                )
            )
        except InvalidStatus as problem:
            if problem.response.status_code in (401, 403):
                raise BadOption(_about_token(server)) from None
            raise WorldUnreachable(f"{server.url} refuses sessions: {problem!s:.200}") from problem
        except (InvalidHandshake, OSError) as problem:  # a TimeoutError is an OSError
            raise WorldUnreachable(f"{server.url} cannot be reached: {problem!s:.200}") from problem


def _read(raw: str | bytes, url: str) -> Mapping[str, Any]:
    """The data of an answer. Raises ``Refused`` for an error, and for what is no answer."""
    try:
        answer = json.loads(raw)
    except (ValueError, RecursionError) as problem:
        raise Refused(f"{url} answers something that is not JSON: {raw[:80]!r}") from problem
    data = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(data, dict):
        raise Refused(f"{url} answers something that is no message: {raw[:80]!r}")
    if answer.get("type") != "error":
        return data
    said, code = str(data.get("message", ""))[:300], data.get("code")
    if code == "CAPACITY_REACHED":
        raise WorldUnreachable(f"{url} has no free session: {said}")
    raise Refused(f"{url}: {said} ({code})")
