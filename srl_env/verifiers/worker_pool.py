"""Work with a hard deadline: requests answered by worker processes that can be killed.

Neither signals (main thread only) nor threads (nothing stops one that computes 9^(9^9)) end
a computation from outside; killing its process does, from any thread. A worker is started
once, by ``subprocess`` and not by forking this process, answers one request after another,
and is killed and replaced when it misses a deadline.

A worker command reads one JSON object per line from its standard input and answers each with
one on its standard output, the first line, ``{"ready": true}``, before any request. It must
exit at the end of its input, so that none outlives this process.

On a busy machine a second of computing takes several by the clock, so a deadline by the clock
alone would blame a text for other programs. A worker that is sent "deadline_s" with a request
limits its own processor time to that by ``ITIMER_PROF``, whose signal ends it wherever it is;
the deadline by the clock is then ``WALL_FACTOR`` times as long. Not even a busy worker outlives
this process for long.

POSIX only: waiting for a pipe with a deadline needs it.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from srl_env.errors import Failure, VerifierCrash, VerifierTimeout

START_S = 120.0
WALL_FACTOR = 3.0
"""How many times its processor time a request may take by the clock, since other programs run."""


class WorkerPool:
    """Up to ``size`` workers of one kind, shared by all threads; started when first needed."""

    def __init__(self, command: Sequence[str], size: int) -> None:
        self.command = tuple(command)
        self._slots = threading.BoundedSemaphore(size)
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()

    def call(self, request: Mapping[str, Any], deadline_s: float) -> dict[str, Any]:
        """A worker's reply to a request.

        The deadline is by the clock, and counts from when a worker has the request, not while all
        are busy. Raises ``VerifierTimeout`` when it is missed and when the worker has used up its
        processor time, ``VerifierCrash`` when the worker dies.
        """
        with self._slots:
            worker = self._take()
            try:
                reply = worker.ask(request, deadline_s)
            except BaseException:  # whatever stopped us, its reply is still to come
                self._discard(worker)
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

    def _discard(self, worker: _Worker) -> None:
        with self._lock:
            self._all.discard(worker)
        worker.kill()


class _Worker:
    """One worker process and the pipes to it; used by one thread at a time."""

    def __init__(self, command: Sequence[str]) -> None:
        # A session of its own: Ctrl-C in the terminal is for us to handle.
        self.command = command
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.stdin, self.stdout = self.process.stdin, self.process.stdout
        self._received = b""
        self._cpu_s: float | None = None  # what the request allows itself
        try:
            self._reply(START_S)
        except BaseException:
            self.kill()
            raise

    def ask(self, request: Mapping[str, Any], deadline_s: float) -> dict[str, Any]:
        """The reply to one request."""
        self._cpu_s = request.get("deadline_s")
        try:
            rest = memoryview(json.dumps(request).encode("ascii") + b"\n")
            while rest:
                rest = rest[self.stdin.write(rest) :]
        except OSError as error:
            raise self._death() from error
        return self._reply(deadline_s)

    def end(self) -> None:
        """Ends the process, now; who waits for its reply reads the end of its output."""
        self.process.kill()
        self.process.wait()

    def kill(self) -> None:
        """Ends the process, now, and closes the pipes."""
        self.end()
        self.abandon()

    def abandon(self) -> None:
        """Closes our ends of the pipes."""
        self.stdin.close()
        self.stdout.close()
        # In a fork the process is not ours to wait for, and Popen is not to complain.
        if self.process.returncode is None:
            self.process.returncode = 0

    def _reply(self, deadline_s: float) -> dict[str, Any]:
        end = time.monotonic() + deadline_s
        poll = select.poll()
        poll.register(self.stdout, select.POLLIN)
        while b"\n" not in self._received:
            if not poll.poll(max(0.0, end - time.monotonic()) * 1000):
                raise VerifierTimeout(f"no verdict within {deadline_s:g} s; its process was killed")
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
                return VerifierTimeout(f"no verdict within {self._cpu_s} s of processor time")
        except subprocess.TimeoutExpired:
            status = "it closed its output and went on"
        return VerifierCrash(f"the verifier's process died ({status}): {' '.join(self.command)}")


_pools: dict[tuple[str, ...], WorkerPool] = {}
_pools_lock = threading.Lock()


def shared_pool(command: Sequence[str]) -> WorkerPool:
    """This process's only pool of such workers, as many as it may use processors, at most 8."""
    with _pools_lock:
        if tuple(command) not in _pools:
            _pools[tuple(command)] = WorkerPool(command, min(8, _processors()))
        return _pools[tuple(command)]


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
