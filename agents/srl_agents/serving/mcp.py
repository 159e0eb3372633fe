"""An environment's tools over MCP: a call is a step, and the end of the episode is graded."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from gymnasium.error import ResetNeeded

from srl_agents.serving.access import Receive, Scope, Send, deny, headers_of
from srl_agents.serving.episodes import Shown
from srl_agents.serving.protocol import finite
from srl_agents.serving.sessions import Session, Sessions, TooMany
from srl_env.errors import BadOption, Failure, UserError
from srl_env.lazy import optional_import
from srl_env.text.tool import Parameter, Tool

with optional_import("serve", "mcp"):
    import mcp.types as wire
    from mcp.server.lowlevel import Server
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
    from mcp.shared.exceptions import MCPError

START: Final = Tool(
    "start_episode",
    "Starts a task and returns it. An episode in progress is left as it is, without a grade.",
    {
        "problem": Parameter("string", "id of a problem; a random one by default", required=False),
        "seed": Parameter("integer", "seed of the episode; random by default", required=False),
    },
)
INSTRUCTIONS: Final = (
    "Call start_episode to get a task, and solve it with the other tools. Every call is one step."
)
VERSIONS: Final = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
"""Versions of MCP that are spoken: those with sessions, as an episode outlives a request."""
_WRONG_VERSION: Final = -32022
_SESSION, _VERSION = "mcp-session-id", "mcp-protocol-version"
_SWEEP_S: Final = 1.0


@dataclass(slots=True)
class _Client:
    """An MCP session: its environment once an episode was started."""

    used: float = field(default_factory=time.monotonic)
    session: Session | None = None
    opening: asyncio.Lock = field(default_factory=asyncio.Lock)


class ToolServer:
    """The ASGI application at /mcp."""

    def __init__(
        self, name: str, tools: Sequence[Tool], sessions: Sessions, options: Mapping[str, Any]
    ) -> None:
        """options: of every reset."""
        if START.name in {tool.name for tool in tools}:
            raise BadOption(f"a served environment must not have a tool {START.name!r}")
        self._tools, self._sessions, self._options = (START, *tools), sessions, options
        self._clients: dict[str, _Client] = {}
        server = Server(
            name,
            instructions=INSTRUCTIONS,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
        )
        limits = sessions.limits
        self._manager = StreamableHTTPSessionManager(
            server,
            json_response=True,
            session_idle_timeout=limits.idle_s,
            max_request_body_size=limits.request_bytes,
        )

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """A context in which clients are served."""
        async with self._manager.run():
            sweep = asyncio.create_task(self._sweep())
            try:
                yield
            finally:
                sweep.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        headers = headers_of(scope)
        version, key = headers.get(_VERSION), headers.get(_SESSION)
        if version is not None and version not in VERSIONS:
            message = f"MCP's version must be one of {', '.join(VERSIONS)}; got {version[:80]!r}"
            data = {"supported": list(VERSIONS), "requested": version[:80]}
            await _answer(send, 400, _WRONG_VERSION, message, data)
            return
        if scope["method"] == "GET":  # nothing is sent but answers
            await deny(scope, send, 405, "POST a message of MCP")
            return
        if key is None:
            body = await receive()  # all of it, see ``Access``
            if not _initializes(body):
                await _answer(send, 200, wire.INVALID_REQUEST, "initialize first: POST initialize")
                return
            if len(self._clients) >= self._sessions.limits.max_sessions:
                await deny(scope, send, 503, "all sessions are in use")
                return
            receive, send = _replayed(body, receive), self._noting(send)
        elif key in self._clients:
            self._clients[key].used = time.monotonic()
        await self._manager.handle_request(scope, receive, send)
        if key is not None and scope["method"] == "DELETE":
            await self._forget(key)

    def _noting(self, send: Send) -> Send:
        """Notes the client to which the answer gives a session."""

        async def note(message: Any) -> None:
            if message["type"] == "http.response.start" and message["status"] < 400:
                key = headers_of(message).get(_SESSION)
                if key is not None:
                    self._clients.setdefault(key, _Client())
            await send(message)

        return note

    async def _list_tools(self, context: Any, params: Any) -> Any:
        return wire.ListToolsResult(tools=[_listed(tool) for tool in self._tools])

    async def _call_tool(self, context: Any, params: Any) -> Any:
        key = context.request.headers.get(_SESSION)
        client = self._clients.get(key)
        if client is None:
            raise MCPError(
                code=wire.INVALID_REQUEST, message="the session has ended; connect again"
            )
        arguments = params.arguments or {}
        try:
            if params.name == START.name:
                return _result(await self._start(client, arguments))
            if client.session is None:
                return _told(f"no episode yet: call {START.name} first")
            session = client.session
            return _result(await session.call(session.episodes.call, params.name, arguments))
        except (TooMany, UserError) as problem:
            return _told(str(problem))
        except ResetNeeded:
            return _told(f"the episode has ended: call {START.name} for another")
        except Failure as failure:
            return _told(f"the environment failed: {type(failure).__name__}: {failure}")

    async def _start(self, client: _Client, arguments: Mapping[str, Any]) -> Shown:
        if unknown := arguments.keys() - START.parameters.keys():
            raise BadOption(f"{START.name} takes problem and seed; got {min(unknown)!r:.80}")
        options = {k: v for k, v in arguments.items() if k == "problem" and v is not None}
        async with client.opening:
            if client.session is None:
                client.session = await self._sessions.open()
        session = client.session
        if session.episodes.env.native_format is not None:
            options["native_tools"] = True
        return await session.call(
            session.episodes.reset, arguments.get("seed"), {**self._options, **options}
        )

    async def _forget(self, key: str) -> None:
        client = self._clients.pop(key, None)
        if client is not None and client.session is not None:
            await self._sessions.close(client.session)

    async def _sweep(self) -> None:
        """Ends the sessions of clients that have used up their time."""
        while True:
            await asyncio.sleep(_SWEEP_S)
            limit = self._sessions.limits.idle_s
            for key, client in tuple(self._clients.items()):
                session = client.session
                if session is None:
                    over = time.monotonic() - client.used > limit
                else:
                    over = self._sessions.overdue(session)
                if over:
                    await self._forget(key)


def _listed(tool: Tool) -> Any:
    schema = tool.schema()["function"]["parameters"]
    return wire.Tool(name=tool.name, description=tool.description, input_schema=schema)


def _told(message: str) -> Any:
    return wire.CallToolResult(content=[wire.TextContent(text=message)], is_error=True)


def _result(shown: Shown) -> Any:
    """The answer to an agent's step, and at the end the grade."""
    verdict = shown.info.get("verdict") or {}
    correct = verdict.get("correct")
    told = {"reward": shown.reward, "done": shown.done, "correct": correct}
    lines = [shown.text] if shown.text else []
    if shown.failure is not None:
        lines.append(
            f"The environment failed ({shown.failure['type']}: {shown.failure['message']}). This"
            f" episode does not count. Call {START.name} for another."
        )
    elif shown.done:
        graded = "not graded" if correct is None else "correct" if correct else "not correct"
        lines.append(f"The episode has ended: {graded}.")
    return wire.CallToolResult(
        content=[wire.TextContent(text="\n".join(lines) or "Taken.")],
        structured_content=finite({**told, "failure": shown.failure}),
        is_error=shown.failure is not None,
    )


def _initializes(message: Any) -> bool:
    """Whether a request's body opens an MCP session; any other would open one that nobody uses."""
    try:
        body = json.loads(message.get("body", b""))
    except (ValueError, RecursionError):
        return False
    return isinstance(body, dict) and body.get("method") == "initialize"


def _replayed(first: Any, receive: Receive) -> Receive:
    read = [first]

    async def replay() -> Any:
        return read.pop() if read else await receive()

    return replay


async def _answer(send: Send, status: int, code: int, message: str, data: Any = None) -> None:
    """Sends an error of JSON-RPC."""
    error = {"code": code, "message": message} | ({} if data is None else {"data": data})
    body = json.dumps({"jsonrpc": "2.0", "id": None, "error": error}).encode()
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
