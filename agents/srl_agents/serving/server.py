"""``srl-env serve``: an environment behind HTTP, WebSockets and MCP, until it is stopped."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import socket
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import srl_env
from srl_agents.serving import protocol
from srl_agents.serving.access import LOOPBACK, Access, App
from srl_agents.serving.episodes import ServedEpisodes, tools_of
from srl_agents.serving.limits import Limits
from srl_agents.serving.mcp import ToolServer
from srl_agents.serving.sessions import Session, Sessions, TooMany
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadOption, Failure, SrlEnvError
from srl_env.lazy import optional_import
from srl_env.rollout import Episode

with optional_import("serve", "starlette", "uvicorn", "websockets"):
    import uvicorn
    import websockets  # noqa: F401  # which uvicorn needs for WebSockets
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route, WebSocketRoute
    from starlette.websockets import WebSocket, WebSocketDisconnect
    from uvicorn.protocols.http.h11_impl import H11Protocol

Mode = Literal["simulation", "production"]
_LEAST_TOKEN = 16
_HEADER_BYTES = 16_384
_STOPPED, _FULL, _OVER = 1012, 1013, 1001  # codes of WebSockets

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Served:
    """What is served, and how.

    environment: its name, as for ``srl_env.make``. arguments: of its constructor. token: needed of
    every client; None only on loopback. mode: OpenEnv's word. "simulation" offers everything;
    "production" only the tools over MCP, so that an agent can neither choose rewards nor hints.
    log: a file to which finished episodes are appended, as JSON lines.
    """

    environment: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None
    mode: Mode = "simulation"
    log: Path | None = None
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if self.mode not in get_args(Mode):
            raise BadOption(f"mode must be {' or '.join(get_args(Mode))}; got {self.mode!r}")
        if not 0 <= self.port < 1 << 16:
            raise BadOption(f"port must be from 0 to 65535; got {self.port}")
        if self.token is None and self.host not in LOOPBACK:
            raise BadOption(
                f"a token must be set to serve beyond this machine; got none for host {self.host}."
                " Fix: export SRL_ENV_TOKEN=$(openssl rand -hex 16)"
            )
        if self.token is not None and (
            len(self.token) < _LEAST_TOKEN
            or not self.token.isascii()
            or not self.token.isprintable()
        ):
            raise BadOption(
                f"a token must be at least {_LEAST_TOKEN} printable ASCII characters; got"
                f" {len(self.token)} characters. Fix: export SRL_ENV_TOKEN=$(openssl rand -hex 16)"
            )

    def make(self) -> ReasoningEnv:
        """A new environment. Raises ``BadOption`` for one that cannot be served."""
        env: object = srl_env.make(self.environment, **self.arguments).unwrapped
        if not isinstance(env, ReasoningEnv):
            raise BadOption(
                f"a served environment must be a ReasoningEnv; got {type(env).__name__}"
            )
        return env

    @property
    def tool_options(self) -> dict[str, Any]:
        """Options of episodes over MCP: an agent's own calls count."""
        options: dict[str, Any] = {"continuation": "policy", "granularity": "step"}
        return options if "reward_mode" in self.arguments else {**options, "reward_mode": "rlvr"}


def serve(served: Served, report: Callable[[str], None]) -> int:
    """Serves until SIGINT or SIGTERM; returns how many environments could not be closed.

    report: called with each line to print.
    Raises ``BadOption`` for a port in use, and what making the environment raises.
    """
    env = served.make()
    if served.log is not None:
        served.log.open("a").close()  # a mistake shows now
    listening = _listen(served.host, served.port)
    try:
        host, port = listening.getsockname()[:2]
        place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        openenv = "/ws and " if served.mode == "simulation" else ""
        report(
            f"{served.environment} on http://{place} ({openenv}/mcp,"
            f" {'with' if served.token else 'without'} token). Ctrl-C stops it."
        )
        return asyncio.run(_serve(served, env, listening, report))
    finally:
        listening.close()


async def _serve(
    served: Served, env: ReasoningEnv, listening: socket.socket, report: Callable[[str], None]
) -> int:
    log = _Log(served.log)
    sessions = Sessions(lambda: ServedEpisodes(served.make(), log.add), served.limits)
    server = _Server(_config(application(served, env, sessions), served.limits), sessions)
    await server.serve(sockets=[listening])
    env.close()
    report(f"Stopped after {sessions.opened} sessions and {log.count} episodes.")
    return server.left


class _Log:
    """The finished episodes: counted, and written to a file if there is one. From any thread."""

    def __init__(self, path: Path | None) -> None:
        self.count, self._path = 0, path
        self._turn = threading.Lock()

    def add(self, episode: Episode) -> None:
        line = json.dumps(episode.to_json()) + "\n"
        with self._turn:
            self.count += 1
            if self._path is not None:
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(line)


def application(served: Served, env: ReasoningEnv, sessions: Sessions) -> App:
    """The ASGI application. env: one of its environments, which only describes it."""
    name = served.environment
    tools = ToolServer(name, tools_of(env), sessions, served.tool_options)
    about = {
        "name": name,
        "description": ((type(env).__doc__ or name).strip().splitlines() or [name])[0],
        "version": name.rpartition("-v")[2] if "-v" in name else None,
    }
    simulation = served.mode == "simulation"
    paths = {"/health": "get", "/metadata": "get", "/schema": "get", "/mcp": "post"}
    if simulation:
        paths |= {"/reset": "post", "/step": "post", "/state": "get"}
    document = protocol.openapi(name, paths)
    routes: list[Any] = [
        Route("/health", _constant({"status": "healthy"})),
        Route("/metadata", _constant(about)),
        Route("/schema", _constant(protocol.schemas(env.format))),
        Route("/openapi.json", _constant(document)),
        Route("/mcp", tools),
    ]
    if simulation:
        routes += [
            Route("/reset", _reset_once(sessions), methods=["POST"]),
            Route("/step", _needs_session, methods=["POST"]),
            Route("/state", _needs_session),
            WebSocketRoute("/ws", _session_endpoint(sessions)),
        ]

    @asynccontextmanager
    async def running(app: object) -> AsyncIterator[None]:
        async with tools.run():
            yield

    return Access(Starlette(routes=routes, lifespan=running), served.limits, served.token)


def _constant(value: Mapping[str, Any]) -> Any:
    async def answer(request: Request) -> Response:
        return JSONResponse(value)

    return answer


async def _needs_session(request: Request) -> Response:
    detail = "steps and states belong to a session. Fix: open a WebSocket at /ws"
    return JSONResponse({"detail": detail}, status_code=409)


def _reset_once(sessions: Sessions) -> Any:
    """The first observation of an episode that then ends, as OpenEnv has it over plain HTTP."""

    async def answer(request: Request) -> Response:
        try:
            data = json.loads(await request.body() or b"{}")
        except (ValueError, RecursionError):
            data = None
        if not isinstance(data, dict):
            return JSONResponse({"detail": "the body must be a JSON object"}, status_code=422)
        try:
            session = await sessions.open()
        except TooMany as problem:
            return JSONResponse({"detail": str(problem)}, status_code=503)
        try:
            return JSONResponse(await session.call(protocol.reset, session.episodes, data))
        except (SrlEnvError, OSError) as problem:
            status = 500 if isinstance(problem, Failure | OSError) else 422
            return JSONResponse({"detail": str(problem)}, status_code=status)
        finally:
            await sessions.close(session)

    return answer


def _session_endpoint(sessions: Sessions) -> Any:
    """A WebSocket is a session: reset, step, state, close."""

    async def connected(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            session = await sessions.open()
        except (TooMany, SrlEnvError) as problem:
            code = protocol.FULL if isinstance(problem, TooMany) else protocol.NOT_MADE
            await _last(websocket, sessions, protocol.error(code, str(problem)), _FULL)
            return
        try:
            await _talk(websocket, sessions, session)
        except (WebSocketDisconnect, TimeoutError):
            pass
        finally:
            await sessions.close(session)

    return connected


async def _talk(websocket: WebSocket, sessions: Sessions, session: Session) -> None:
    """Answers a client's messages, one after the other, until one of the two ends."""
    while not sessions.stopping.is_set():
        message = await _received(websocket, sessions, session)
        if message is None:
            break
        try:
            reply = await session.call(protocol.answer, session.episodes, message)
        except Failure as failure:
            said = f"{type(failure).__name__}: {failure}"
            reply = protocol.error(protocol.FAILED, said)
        except Exception as bug:  # the environment's own code
            logger.exception("an environment raised %s: %s", type(bug).__name__, bug)
            said = f"the environment raised {type(bug).__name__}"
            reply = protocol.error(protocol.FAILED, said)
        if reply is None:
            await _close(websocket, sessions, 1000, "closed")
            return
        await _send(websocket, sessions, reply)
    stopping = sessions.stopping.is_set()
    reason = "the server is being stopped" if stopping else "the session has used up its time"
    await _close(websocket, sessions, _STOPPED if stopping else _OVER, reason)


async def _received(websocket: WebSocket, sessions: Sessions, session: Session) -> str | None:
    """The next message; None if the session's time is over, or the server is being stopped."""
    receiving = asyncio.ensure_future(websocket.receive())
    stopping = asyncio.ensure_future(sessions.stopping.wait())
    try:
        await asyncio.wait(
            (receiving, stopping),
            timeout=sessions.left_s(session),
            return_when=asyncio.FIRST_COMPLETED,
        )
        if not receiving.done():
            return None
        message = receiving.result()
    finally:
        receiving.cancel()
        stopping.cancel()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1005))
    text: str | None = message.get("text")
    return message["bytes"].decode("utf-8", "replace") if text is None else text


async def _send(websocket: WebSocket, sessions: Sessions, reply: protocol.Reply) -> None:
    """Raises TimeoutError if the client does not take it."""
    async with asyncio.timeout(sessions.limits.request_s):
        await websocket.send_text(json.dumps(reply))


async def _close(websocket: WebSocket, sessions: Sessions, code: int, reason: str) -> None:
    async with asyncio.timeout(sessions.limits.request_s):
        await websocket.close(code, reason)


async def _last(websocket: WebSocket, sessions: Sessions, reply: protocol.Reply, code: int) -> None:
    try:
        await _send(websocket, sessions, reply)
        await _close(websocket, sessions, code, reply["data"]["message"][:100])
    except (WebSocketDisconnect, TimeoutError):
        pass


# -- the server ----------------------------------------------------------------------------------


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as problem:
        fix = {
            errno.EADDRINUSE: f"the port must be free. Fix: --port {min(port + 1, 65535)}",
            errno.EACCES: "the port must be one that you may use. Fix: --port 8000",
        }.get(problem.errno or 0, "Fix: check --host")
        said = os.strerror(problem.errno or 0) if fix.startswith("the") else problem
        raise BadOption(f"cannot listen on {host}:{port} ({said}); {fix}") from problem


def _config(app: App, limits: Limits) -> uvicorn.Config:
    class Impatient(H11Protocol):  # type: ignore[misc]
        """Closes a connection whose next request does not arrive in time."""

        _late: asyncio.TimerHandle | None = None
        _upgraded = False

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._wait(True)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._wait(not self._upgraded and (self.cycle is None or self.cycle.response_complete))

        def handle_websocket_upgrade(self, event: Any) -> None:
            self._upgraded = True  # sessions have times of their own
            super().handle_websocket_upgrade(event)

        def connection_lost(self, exc: Exception | None) -> None:
            self._wait(False)
            super().connection_lost(exc)

        def _wait(self, waiting: bool) -> None:
            if waiting and self._late is None:
                self._late = self.loop.call_later(limits.request_s, self.transport.close)
            elif not waiting and self._late is not None:
                self._late.cancel()
                self._late = None

    return uvicorn.Config(
        app,
        http=Impatient,
        ws_max_size=limits.request_bytes,
        ws_max_queue=2,
        ws_per_message_deflate=False,
        h11_max_incomplete_event_size=_HEADER_BYTES,
        limit_concurrency=4 * limits.max_sessions + 64,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=max(1, int(limits.request_s)),
    )


class _Server(uvicorn.Server):  # type: ignore[misc]
    """Ends its sessions before its connections; a second signal ends it at once.

    left: how many environments could not be closed in time.
    """

    def __init__(self, config: uvicorn.Config, sessions: Sessions) -> None:
        super().__init__(config)
        self._sessions, self.left = sessions, 0

    def handle_exit(self, sig: int, frame: object) -> None:
        """Notes the wish to stop, and does not raise the signal again afterwards."""
        stopping: bool = self._sessions.stopping.is_set()
        self.force_exit, self.should_exit = stopping, True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Waits for the steps in progress, and closes environments and connections."""
        self.left = await self._sessions.stop()
        await super().shutdown(sockets=sockets)
