"""Who may send a request, and how large and slow it may be: ASGI middleware."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from srl_agents.serving.limits import Limits

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
OPEN_PATHS = frozenset({"/health"})


class Access:
    """Lets a request through to an application, or answers it with one line of JSON.

    With a token, every path but ``OPEN_PATHS`` needs it, as "Authorization: Bearer TOKEN" or as the
    password of "Basic". Without one, only programs of this machine are served: a web page that
    the user visits is recognised by its Origin, or by a Host that is not loopback's.
    """

    def __init__(self, app: App, limits: Limits, token: str | None) -> None:
        self._app, self._limits, self._token = app, limits, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, or one WebSocket."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            await deny(scope, send, *refusal)
        elif scope["type"] == "websocket":
            await self._app(scope, receive, send)
        else:
            await self._limited(scope, receive, send)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = headers_of(scope)
        if self._token is None:
            host = urlsplit(f"//{headers.get('host', '')}").hostname
            origin = headers.get("origin")
            if host not in LOOPBACK or (origin and urlsplit(origin).hostname not in LOOPBACK):
                return 403, "without a token, only programs of this machine are served"
            return None
        if scope["path"] in OPEN_PATHS or _has(self._token, headers.get("authorization", "")):
            return None
        return 401, "the token is missing or wrong. Fix: send the header Authorization: Bearer …"

    async def _limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Reads the whole body first, then lets the application answer."""
        body, most = bytearray(), self._limits.request_bytes
        try:
            async with asyncio.timeout(self._limits.request_s):
                while True:
                    message = await receive()
                    if message["type"] != "http.request":
                        return
                    body += message.get("body", b"")
                    if len(body) > most:
                        await deny(scope, send, 413, f"a request has at most {most:,} bytes")
                        return
                    if not message.get("more_body", False):
                        break
        except TimeoutError:
            await deny(scope, send, 408, "the request took too long to arrive")
            return
        read = [{"type": "http.request", "body": bytes(body), "more_body": False}]

        async def replay() -> Message:
            return read.pop() if read else await receive()

        async def soon(message: Message) -> None:
            async with asyncio.timeout(self._limits.request_s):
                await send(message)

        await self._app(scope, replay, soon)


def headers_of(scope: Scope) -> Mapping[str, str]:
    """The headers of a request, their names in lower case."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


async def deny(scope: Scope, send: Send, status: int, message: str) -> None:
    """Answers a request, or the opening of a WebSocket, with an error."""
    kind = "http.response"
    if scope["type"] == "websocket":
        kind = "websocket.http.response"
        if kind not in scope.get("extensions", {}):
            await send({"type": "websocket.close", "code": 1008, "reason": message})
            return
    body = json.dumps({"detail": message}).encode()
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": f"{kind}.start", "status": status, "headers": headers})
    await send({"type": f"{kind}.body", "body": body, "more_body": False})


def _has(token: str, authorization: str) -> bool:
    kind, _, given = authorization.partition(" ")
    if kind.lower() == "basic":
        try:
            given = base64.b64decode(given, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return False
    elif kind.lower() != "bearer":
        return False
    return hmac.compare_digest(given.encode(), token.encode())
