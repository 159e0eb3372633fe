"""Sessions: one environment for each client, at most so many, each in a thread at a time."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from srl_agents.serving.episodes import ServedEpisodes
from srl_agents.serving.limits import Limits

T = TypeVar("T")


class TooMany(Exception):
    """The server has all the sessions that it may have, or is being stopped."""


class Session:
    """A client's session. Its calls run in threads, one after the other."""

    def __init__(self, episodes: ServedEpisodes, run: Callable[..., asyncio.Future[T]]) -> None:
        self.episodes, self._run = episodes, run
        self.opened = self.used = time.monotonic()
        self._turn = asyncio.Lock()

    async def call(self, function: Callable[..., T], *arguments: object) -> T:
        """What a function returns, in a thread."""
        async with self._turn:
            self.used = time.monotonic()
            try:
                return await self._run(functools.partial(function, *arguments))  # type: ignore[return-value]
            finally:
                self.used = time.monotonic()

    @property
    def busy(self) -> bool:
        """Whether a call is in progress."""
        return self._turn.locked()


class Sessions:
    """All sessions of a server.

    opened: how many there were. stopping: set once the server is being stopped; then no session is
    opened, and the next message of a client is answered with that.
    """

    def __init__(self, make: Callable[[], ServedEpisodes], limits: Limits) -> None:
        """make: a new environment's episodes; called in a thread."""
        self._make, self.limits = make, limits
        self._open: set[Session] = set()
        self._reserved = 0
        self._threads = ThreadPoolExecutor(limits.max_sessions, thread_name_prefix="session")
        self.opened = 0
        self.stopping = asyncio.Event()

    async def open(self) -> Session:
        """A new session. Raises ``TooMany``, and what making an environment raises."""
        if self.stopping.is_set():
            raise TooMany("the server is being stopped")
        if len(self._open) + self._reserved >= self.limits.max_sessions:
            raise TooMany(
                f"all {self.limits.max_sessions} sessions are in use. Fix: close one, or start the"
                " server with a larger --max-sessions"
            )
        self._reserved += 1
        try:
            session = Session(await self._in_thread(self._make), self._in_thread)
        finally:
            self._reserved -= 1
        self._open.add(session)
        self.opened += 1
        return session

    async def close(self, session: Session) -> None:
        """Closes a session after its call in progress."""
        if session in self._open:
            self._open.remove(session)
            self._reserved += 1  # its environment still exists
            try:
                await session.call(session.episodes.close)
            finally:
                self._reserved -= 1

    def overdue(self, session: Session) -> bool:
        """Whether a session without a call in progress has used up its time."""
        now = time.monotonic()
        idle = now - session.used > self.limits.idle_s
        return not session.busy and (idle or now - session.opened > self.limits.session_s)

    def left_s(self, session: Session) -> float:
        """How long a session may wait for its next message."""
        now = time.monotonic()
        return max(0.0, min(self.limits.idle_s, session.opened + self.limits.session_s - now))

    async def stop(self) -> int:
        """Waits for calls in progress and closes all; returns how many did not end in time."""
        self.stopping.set()
        closing = [asyncio.ensure_future(self.close(session)) for session in tuple(self._open)]
        if closing:
            await asyncio.wait(closing, timeout=self.limits.stop_s)
        self._threads.shutdown(wait=False, cancel_futures=True)
        return self._reserved

    def _in_thread(self, function: Callable[[], T]) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._threads, function)
