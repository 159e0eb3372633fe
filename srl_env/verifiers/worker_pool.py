"""Work with a hard deadline: requests answered by worker processes that can be killed.

Signals reach the main thread only, and nothing stops a thread that computes 9^(9^9). Killing a
process does, from any thread. A worker is started once, by ``subprocess`` and not by a fork. It
answers one request after another, and is killed and replaced when it misses a deadline.

A worker reads one JSON object per line from its standard input and answers each with one on its
standard output. Its first line is ``{"ready": true}``, before any request. It must exit at the end
of its input, so that it never outlives this process. ``srl_env.verifiers.worker`` is such a loop.

Deadlines count processor time, as on a busy machine a second of computing takes several by the
clock. A worker must limit itself to the "deadline_s" of each request, by ``ITIMER_PROF``. By the
clock, a request may take ``WALL_FACTOR`` times as long.

POSIX only: waiting for a pipe with a deadline needs it.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from srl_env.errors import Failure, VerifierCrash, VerifierTimeout

START_S = 120.0
WALL_FACTOR = 3.0
"""How many times its processor time a request may take by the clock, as other programs run."""


class WorkerPool:
    """Up to ``size`` workers of one kind, shared by all threads and started when first needed."""

    def __init__(self, command: Sequence[str], size: int) -> None:
        self.command = tuple(command)
        self._slots = threading.BoundedSemaphore(size)
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()

    def call(self, request: Mapping[str, Any], deadline_s: float) -> dict[str, Any]:
        """A worker's reply to a request, which is given the key "deadline_s".

        The deadline counts from when a worker has the request, not while all are busy.
        Raises ``VerifierTimeout`` if it is missed, and ``VerifierCrash`` if the worker dies.
        """
        with self._slots:
            worker = self._take()
            try:
                reply = worker.ask(request, deadline_s)
            except BaseException:  # whatever stopped us, its reply is still to come
                with self._lock:
                    self._all.discard(worker)
                worker.kill()
                raise
            with self._lock:
                self._idle.append(worker)
            return reply

    def process_ids(self) -> list[int]:
        """The ids of the living workers."""
        with self._lock:
            return [worker.process.pid for worker in self._all]

    def close(self) -> None:
        """Kills all workers; the next call starts new ones."""
        with self._lock:
            workers, idle, self._all, self._idle = self._all, self._idle, set(), []
        for worker in workers:
            worker.end()
        for worker in idle:  # the pipes of a busy one are still being read, and closed there
            worker.abandon()

    def abandon(self) -> None:
        """Lets go of all workers without touching them: in a fork, they belong to the parent."""
        for worker in self._all:
            worker.abandon()

    def _take(self) -> _Worker:
        with self._lock:
            while self._idle:
                worker = self._idle.pop()
                if worker.process.poll() is None:
                    return worker
                self._all.discard(worker)
                worker.kill()
        worker = _Worker(self.command)
        with self._lock:
            self._all.add(worker)
        return worker


class _Worker:
    """One worker process and the pipes to it; used by one thread at a time."""

    def __init__(self, command: Sequence[str]) -> None:
        self.command = command
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,  # Ctrl-C in the terminal is for us to handle
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.stdin, self.stdout = self.process.stdin, self.process.stdout
        self._received = b""
        self._deadline_s = START_S
        try:
            self._reply(START_S)
        except BaseException:
            self.kill()
            raise

    def ask(self, request: Mapping[str, Any], deadline_s: float) -> dict[str, Any]:
        """The reply to one request."""
        self._deadline_s = deadline_s
        try:
            text = json.dumps({**request, "deadline_s": deadline_s})
            rest = memoryview(text.encode("ascii") + b"\n")
            while rest:
                rest = rest[self.stdin.write(rest) :]
        except OSError as error:
            raise self._death() from error
        return self._reply(WALL_FACTOR * deadline_s)

    def end(self) -> None:
        """Kills the process; a thread that waits for its reply reads the end of its output."""
        self.process.kill()
        self.process.wait()

    def kill(self) -> None:
        """Kills the process and closes the pipes."""
        self.end()
        self.abandon()

    def abandon(self) -> None:
        """Closes our ends of the pipes."""
        self.stdin.close()
        self.stdout.close()
        # In a fork the process is not ours to wait for, and Popen must not warn.
        if self.process.returncode is None:
            self.process.returncode = 0

    def _reply(self, limit_s: float) -> dict[str, Any]:
        end = time.monotonic() + limit_s
        poll = select.poll()
        poll.register(self.stdout, select.POLLIN)
        while b"\n" not in self._received:
            if not poll.poll(max(0.0, end - time.monotonic()) * 1000):
                raise VerifierTimeout(f"no verdict within {limit_s:g} s; its process was killed")
            chunk = os.read(self.stdout.fileno(), 65536)
            if not chunk:
                raise self._death()
            self._received += chunk
        line, _, self._received = self._received.partition(b"\n")
        reply: dict[str, Any] = json.loads(line)
        if "failure" in reply:
            raise VerifierCrash(f"the verifier's process failed: {reply['failure']}")
        return reply

    def _death(self) -> Failure:
        try:
            status = f"exit status {self.process.wait(timeout=5)}"
            if self.process.returncode == -signal.SIGPROF:
                return VerifierTimeout(f"no verdict within {self._deadline_s} s of processor time")
        except subprocess.TimeoutExpired:
            status = "it closed its output but did not exit"
        return VerifierCrash(f"the verifier's process died ({status}): {' '.join(self.command)}")


_pools: dict[Path, WorkerPool] = {}
_pools_lock = threading.Lock()


def shared_pool(path: Path, *modules: str) -> WorkerPool:
    """This process's only pool of workers that run the file ``path``.

    modules: what the workers import before their first request, as it takes long.
    See ``srl_env.verifiers.worker`` for the file. The pool has one worker for each processor that
    this process may use, at most 8.
    """
    with _pools_lock:
        if path not in _pools:
            # -P: the folder of the script must not come before the standard library.
            script = Path(__file__).with_name("worker.py")
            command = [sys.executable, "-P", str(script), str(path), *modules]
            _pools[path] = WorkerPool(command, min(8, _processors()))
        return _pools[path]


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _close_all() -> None:
    for pool in list(_pools.values()):
        pool.close()


def _forget_all() -> None:
    """In a fork: the parent's workers are not ours, and its locks may have been held."""
    global _pools_lock
    _pools_lock = threading.Lock()
    for pool in _pools.values():
        pool.abandon()
    _pools.clear()


atexit.register(_close_all)
os.register_at_fork(after_in_child=_forget_all)
