"""A server on loopback that answers as an OpenAI-compatible one does, or as badly as it is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

Request = dict[str, Any]
Reply = Callable[["Handler"], None]


def chat(text: str, finish: str = "stop", **more: Any) -> Request:
    """A chat completion of one choice. more: further fields of the choice."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": finish, **more}
    usage = {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13}
    return {"id": "1", "object": "chat.completion", "choices": [choice], "usage": usage}


def says(body: Any, status: int = 200, **headers: str) -> Reply:
    """Answers with JSON, or with bytes as they are."""
    payload = body if isinstance(body, bytes) else json.dumps(body).encode()

    def reply(handler: Handler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(payload)))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(payload)

    return reply


def refuses(status: int, message: str = "no", code: str | None = None, **headers: str) -> Reply:
    """Answers with an error as OpenAI words it."""
    return says({"error": {"message": message, "code": code}}, status, **headers)


def stalls(handler: Handler) -> None:
    """Says nothing until the server is closed."""
    handler.server.closing.wait(20)


def trickles(handler: Handler) -> None:
    """Sends a byte now and then, so that something is always being read."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    for _ in range(200):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        if handler.server.closing.wait(0.05):
            return


def hangs_up(handler: Handler) -> None:
    """Closes the connection without a word."""
    handler.close_connection = True


def breaks_off(handler: Handler) -> None:
    """Closes the connection in the middle of an answer."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [{"message": {"content": "x = ')
    handler.close_connection = True


class Handler(BaseHTTPRequestHandler):
    """Notes the request and gives the next reply of the script."""

    server: Loopback
    protocol_version = "HTTP/1.1"
    body: Request

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        self.body = json.loads(self.rfile.read(length))
        try:
            self.server.next_reply(self)(self)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def do_GET(self) -> None:
        self.body = {}
        if self.server.sick:
            stalls(self)
        says({"object": "list", "data": [{"id": "served", "object": "model"}]})(self)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


class Loopback(ThreadingHTTPServer):
    """A context manager. ``requests``: bodies, with "path" and "key" added, in order of arrival.

    script: the first replies; afterwards it says ``answer`` of the request. sick: whether checks of
    its health get no answer.
    """

    daemon_threads = True
    port = 0  # any that is free

    def __init__(self, *script: Reply, answer: Callable[[Request], Any] | None = None) -> None:
        super().__init__(("127.0.0.1", self.port), Handler)
        self.script, self.requests, self.sick = list(script), list[Request](), False
        self.answer = answer or (lambda request: chat("fine"))
        self.closing, self._lock = threading.Event(), threading.Lock()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def next_reply(self, handler: Handler) -> Reply:
        with self._lock:
            key = handler.headers["Authorization"]
            self.requests.append({**handler.body, "path": handler.path, "key": key})
            if self.script:
                return self.script.pop(0)
        return says(self.answer(handler.body))

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.closing.set()
        self.shutdown()
        self.server_close()
